"""What a device is called on the page, for the User-Agents that browsers, applications and attackers send."""

from __future__ import annotations

import time
from typing import Final

import pytest

from sessionward.api.page.labels import MAX_NAME, MAX_USER_AGENT, Label, label_of, label_text, plain
from sessionward.api.page.languages import catalogue

WINDOWS: Final = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
MAC: Final = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko)"
LINUX: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
ANDROID: Final = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
IPHONE: Final = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
IPAD: Final = "Mozilla/5.0 (iPad; CPU OS 18_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME: Final = "Chrome/146.0.0.0 Safari/537.36"
MOBILE: Final = "Chrome/146.0.0.0 Mobile Safari/537.36"

AGENTS: Final = {
    "Chrome on Windows": (f"{WINDOWS} {CHROME}", Label("Chrome", "Windows")),
    "Chrome on Mac": (f"{MAC} {CHROME}", Label("Chrome", "Mac")),
    "Chrome on Linux": (f"{LINUX} {CHROME}", Label("Chrome", "Linux")),
    "Chrome on Android": (f"{ANDROID} {MOBILE}", Label("Chrome", "Android")),
    "Chrome on a tablet": (f"{ANDROID} {CHROME}", Label("Chrome", "Android")),
    "Chrome on ChromeOS": (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 {CHROME}", Label("Chrome", "ChromeOS")),
    "Chrome on iPhone": (f"{IPHONE} CriOS/146.0.7680.40 Mobile/15E148 Safari/604.1", Label("Chrome", "iPhone")),
    "Chrome on iPad": (f"{IPAD} CriOS/146.0.7680.40 Mobile/15E148 Safari/604.1", Label("Chrome", "iPad")),
    "Chrome without a window": (f"{LINUX} HeadlessChrome/146.0.0.0 Safari/537.36", Label("Chrome", "Linux")),
    "Brave says that it is Chrome": (f"{MAC} {CHROME}", Label("Chrome", "Mac")),
    "an application's view on Android": (
        "Mozilla/5.0 (Linux; Android 15; Pixel 9 Build/AP4A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
        "Chrome/146.0.7680.40 Mobile Safari/537.36",
        Label("", "Android"),
    ),
    "Edge on Windows": (f"{WINDOWS} {CHROME} Edg/146.0.0.0", Label("Edge", "Windows")),
    "Edge on Mac": (f"{MAC} {CHROME} Edg/146.0.0.0", Label("Edge", "Mac")),
    "Edge on Android": (f"{ANDROID} {MOBILE} EdgA/146.0.0.0", Label("Edge", "Android")),
    "Edge on iPhone": (f"{IPHONE} Version/26.0 EdgiOS/146.0.3856.30 Mobile/15E148 Safari/604.1", Label("Edge", "iPhone")),
    "old Edge": (f"{WINDOWS} Chrome/70.0.3538.102 Safari/537.36 Edge/18.19041", Label("Edge", "Windows")),
    "Edge on Xbox": (
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) {CHROME} Edg/146.0.0.0",
        Label("Edge", "Xbox"),
    ),
    "Opera on Windows": (f"{WINDOWS} {CHROME} OPR/128.0.0.0", Label("Opera", "Windows")),
    "Opera on Android": (f"{ANDROID} {MOBILE} OPR/92.0.0.0", Label("Opera", "Android")),
    "Opera on iPhone": (f"{IPHONE} Version/26.0 Mobile/15E148 Safari/604.1 OPT/6.3.1", Label("Opera", "iPhone")),
    "Opera Mini": ("Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423", Label("Opera", "Android")),
    "Samsung Internet": (f"{ANDROID} SamsungBrowser/30.0 {MOBILE}", Label("Samsung Internet", "Android")),
    "Vivaldi on Windows": (f"{WINDOWS} {CHROME} Vivaldi/7.8.3925.50", Label("Vivaldi", "Windows")),
    "Vivaldi on Linux": (f"{LINUX} {CHROME} Vivaldi/7.8.3925.50", Label("Vivaldi", "Linux")),
    "DuckDuckGo on Android": (f"{ANDROID} Version/4.0 Chrome/146.0.0.0 Mobile DuckDuckGo/5 Safari/537.36", Label("DuckDuckGo", "Android")),
    "DuckDuckGo on iPhone": (f"{IPHONE} Version/26.0 Mobile/15E148 Safari/604.1 Ddg/26.0", Label("DuckDuckGo", "iPhone")),
    "DuckDuckGo on Windows": (f"{WINDOWS} {CHROME} Edg/146.0.0.0 Ddg/146.0.0.0", Label("DuckDuckGo", "Windows")),
    "Yandex": (f"{WINDOWS} Chrome/142.0.0.0 YaBrowser/26.2.0.0 Safari/537.36", Label("Yandex Browser", "Windows")),
    "UC": (f"{ANDROID} Version/4.0 Chrome/123.0 UCBrowser/15.5.8.1347 Mobile Safari/537.36", Label("UC Browser", "Android")),
    "Huawei": (f"{ANDROID} Chrome/130.0.0.0 HuaweiBrowser/16.0.9.300 Mobile Safari/537.36", Label("Huawei Browser", "Android")),
    "HarmonyOS": (
        "Mozilla/5.0 (Phone; OpenHarmony 6.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/132.0.0.0 Safari/537.36 ArkWeb/6.0 Mobile",
        Label("Chrome", "HarmonyOS"),
    ),
    "Mi Browser": (f"{ANDROID} Version/4.0 Chrome/112.0 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.45", Label("Mi Browser", "Android")),
    "Silk on Fire TV": (
        "Mozilla/5.0 (Linux; Android 9; AFTKA Build/PS7) AppleWebKit/537.36 (KHTML, like Gecko) Silk/142.1 like Chrome/142.0 Safari/537.36",
        Label("Silk", "Fire TV"),
    ),
    "Firefox on Windows": ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:152.0) Gecko/20100101 Firefox/152.0", Label("Firefox", "Windows")),
    "Firefox on Mac": ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:152.0) Gecko/20100101 Firefox/152.0", Label("Firefox", "Mac")),
    "Firefox on Linux": ("Mozilla/5.0 (X11; Linux x86_64; rv:152.0) Gecko/20100101 Firefox/152.0", Label("Firefox", "Linux")),
    "Firefox on Android": ("Mozilla/5.0 (Android 16; Mobile; rv:152.0) Gecko/152.0 Firefox/152.0", Label("Firefox", "Android")),
    "Firefox on iPhone": (f"{IPHONE} FxiOS/152.0 Mobile/15E148 Safari/604.1", Label("Firefox", "iPhone")),
    "Firefox on iPad": (f"{IPAD} FxiOS/152.0 Mobile/15E148 Safari/604.1", Label("Firefox", "iPad")),
    "Safari on Mac": (f"{MAC.replace('537.36', '605.1.15')} Version/26.1 Safari/605.1.15", Label("Safari", "Mac")),
    "Safari on iPhone": (f"{IPHONE} Version/26.1 Mobile/15E148 Safari/604.1", Label("Safari", "iPhone")),
    "Safari on iPad, pages for phones": (f"{IPAD} Version/26.1 Mobile/15E148 Safari/604.1", Label("Safari", "iPad")),
    "Safari on iPad, desktop pages": (f"{MAC.replace('537.36', '605.1.15')} Version/26.1 Safari/605.1.15", Label("Safari", "Mac")),
    "an application's view on iPhone": (f"{IPHONE} Mobile/15E148", Label("", "iPhone")),
    "the application of Google": (f"{IPHONE} GSA/401.0.842626838 Mobile/15E148 Safari/604.1", Label("Google App", "iPhone")),
    "the application of Facebook": (f"{IPHONE} Mobile/22H20 [FBAN/FBIOS;FBAV/540.0.0.30.65;FBDV/iPhone17,1]", Label("Facebook", "iPhone")),
    "Instagram": (f"{IPHONE} Mobile/22H20 Instagram 410.0.0.29.70 (iPhone17,1; iOS 18_7; de_DE)", Label("Instagram", "iPhone")),
    "Slack on Mac": (f"{MAC} Slack/4.48.92 Chrome/144.0.7559.60 Electron/40.0.0 Safari/537.36", Label("Slack", "Mac")),
    "Code on Windows": (f"{WINDOWS} Code/1.112.0 Chrome/144.0.7559.60 Electron/40.0.0 Safari/537.36", Label("Code", "Windows")),
    "Electron alone": (f"{LINUX} Chrome/144.0.7559.60 Electron/40.0.0 Safari/537.36", Label("Chrome", "Linux")),
    "Internet Explorer": ("Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", Label("Internet Explorer", "Windows")),
    "Internet Explorer 9": ("Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)", Label("Internet Explorer", "Windows")),
    "a television of LG": (
        "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.6099.272 Safari/537.36",
        Label("Chrome", "LG TV"),
    ),
    "a television of Samsung": (
        "Mozilla/5.0 (SMART-TV; LINUX; Tizen 9.0) AppleWebKit/537.36 (KHTML, like Gecko) Version/9.0 TV Safari/537.36",
        Label("Safari", "Samsung TV"),
    ),
    "Apple TV": ("AppleCoreMedia/1.0.0.22J357 (Apple TV; U; CPU OS 18_0 like Mac OS X; en_us)", Label("AppleCoreMedia", "Apple TV")),
    "PlayStation": (
        "Mozilla/5.0 (PlayStation; PlayStation 5/9.00) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15",
        Label("Safari", "PlayStation"),
    ),
    "Googlebot": ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", Label("Googlebot", "")),
    "Googlebot as a browser": (
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm) "
        "Chrome/146.0.0.0 Safari/537.36",
        Label("bingbot", ""),
    ),
    "curl": ("curl/8.17.0", Label("curl", "")),
    "requests": ("python-requests/2.33.0", Label("python-requests", "")),
    "okhttp": ("okhttp/5.3.0", Label("okhttp", "")),
    "Go": ("Go-http-client/2.0", Label("Go-http-client", "")),
    "an application on iPhone": ("MyApp/3.2 CFNetwork/3826.500.131 Darwin/24.5.0", Label("MyApp", "")),
    "an application with a space": ("My%20App/3.2 CFNetwork/3826.500.131 Darwin/24.5.0", Label("My App", "")),
    "an application with a Japanese name": ("%E5%AE%B6%E8%A8%88%E7%B0%BF/3.2 CFNetwork/3826 Darwin/24.5.0", Label("家計簿", "")),
    "an application on Android": ("Dalvik/2.1.0 (Linux; U; Android 16; Pixel 9)", Label("Dalvik", "Android")),
    "an application with its system": ("Example/5.1 (iPhone; iOS 26.1; Scale/3.00)", Label("Example", "iPhone")),
    "nothing": (None, Label("", "")),
    "empty": ("", Label("", "")),
    "no product": ("who knows", Label("", "")),
    "a sentence": ("Your account was hacked, call this number now/1.0", Label("", "")),
    "a number": ("+1 555 0100/1.0", Label("", "")),
    "markup": ("<script>alert(1)</script>", Label("", "")),
    "markup in percent": ("%3Cb%3E/1.0", Label("", "")),
    "a turned name": ("My\u202eppA/1.0", Label("My ppA", "")),
    "a turned name in percent": ("My%E2%80%AEppA/1.0", Label("My ppA", "")),
    "a name that is too long": ("A" * (MAX_NAME + 1) + "/1", Label("", "")),
    "a name of the longest": ("A" * MAX_NAME + "/1", Label("A" * MAX_NAME, "")),
    "behind the end": ("Mozilla/5.0 " + "x" * MAX_USER_AGENT + "Firefox/1", Label("", "")),
}


@pytest.mark.parametrize(("agent", "label"), [pytest.param(*row, id=name) for name, row in AGENTS.items()])
def test_a_device_is_named_by_its_browser_and_its_system(agent: str | None, label: Label) -> None:
    assert label_of(agent) == label


def test_no_label_has_a_version() -> None:
    for agent, _ in AGENTS.values():
        assert not any(character.isdigit() for part in label_of(agent) for character in part)


@pytest.mark.parametrize(
    ("label", "language", "text"),
    [
        pytest.param(Label("Firefox", "Windows"), "en", "Firefox on Windows", id="both"),
        pytest.param(Label("Firefox", "Windows"), "de", "Firefox auf Windows", id="both, in German"),
        pytest.param(Label("Firefox", "Windows"), "ja", "Windows の Firefox", id="both, in Japanese"),
        pytest.param(Label("", "iPhone"), "fr", "iPhone", id="the system alone"),
        pytest.param(Label("curl", ""), "en", "curl", id="the browser alone"),
        pytest.param(Label("", ""), "en", "Unknown device", id="neither"),
        pytest.param(Label("", ""), "de", "Unbekanntes Gerät", id="neither, in German"),
        pytest.param(Label("%(system)s", "%s"), "en", "%(system)s on %s", id="places of a pattern"),
    ],
)
def test_a_label_is_said_in_the_readers_language(label: Label, language: str, text: str) -> None:
    assert label_text(label, catalogue(language)) == text


@pytest.mark.parametrize(
    "piece",
    ["A", " ", "/", "(", "%", "%20", "; AFT", "compatible; ", "Mozilla/", "Chrome/ Electron/", "Opera ", "\u202e", "a b/", ") Electron/ "],
)
@pytest.mark.parametrize("start", ["", "Mozilla/5.0 (compatible; ", "Mozilla/5.0 Electron/ "])
def test_a_long_and_hostile_string_takes_no_longer_than_another(start: str, piece: str) -> None:
    hostile = start + piece * (64_000 // len(piece))
    began = time.thread_time()
    label_of(hostile)
    assert time.thread_time() - began < 0.1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("Wien, Österreich", "Wien, Österreich", id="an ordinary name"),
        pytest.param("a\x00b\x1b[31mc\x7f\x9bd", "a b [31mc d", id="control characters"),
        pytest.param("a\r\n\tb", "a b", id="lines"),
        pytest.param("a\u2028b\u2029c", "a b c", id="Unicode's lines"),
        *[pytest.param(f"a{chr(code)}b", "a b", id=f"U+{code:04X}") for code in (0x061C, 0x200E, 0x200F, 0x200B, 0x2060, 0xFEFF, 0xE0041)],
        *[pytest.param(f"a{chr(code)}b", "a b", id=f"U+{code:04X}") for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))],
        pytest.param("\ud800x", "x", id="half a character"),
        pytest.param("می\u200cخواهم", "می\u200cخواهم", id="a joiner inside a Persian word"),  # noqa: RUF001 these letters are meant
        pytest.param("  ", "", id="nothing"),
    ],
)
def test_what_a_stranger_wrote_has_no_character_that_only_controls(text: str, shown: str) -> None:
    assert plain(text) == shown
