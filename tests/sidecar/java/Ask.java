import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Asks for each method many times with Java's own client, as it is without a setting, and prints how many answers were lost. */
public class Ask {
    static final String[] METHODS = {"POST", "GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"};
    static final int TOGETHER = 8;

    public static void main(String[] arguments) throws Exception {
        URI uri = URI.create("http://127.0.0.1:" + arguments[0] + "/");
        int count = Integer.parseInt(arguments[1]);
        for (String method : METHODS) {
            HttpClient client = HttpClient.newHttpClient();  // asks to upgrade to h2c, also with a body
            List<String> lost = new ArrayList<>();
            for (int done = 0; done < count; done += TOGETHER) {
                List<CompletableFuture<HttpResponse<String>>> asked = new ArrayList<>();
                for (int number = done; number < Math.min(count, done + TOGETHER); number++) {
                    boolean has = method.startsWith("P");
                    HttpRequest.BodyPublisher body = has
                        ? HttpRequest.BodyPublishers.ofString("x".repeat(number))
                        : HttpRequest.BodyPublishers.noBody();
                    asked.add(client.sendAsync(
                        HttpRequest.newBuilder(uri).method(method, body).build(), HttpResponse.BodyHandlers.ofString()));
                }
                for (int place = 0; place < asked.size(); place++) {
                    String expected = method + " " + (method.startsWith("P") ? done + place : 0);
                    try {
                        HttpResponse<String> answer = asked.get(place).get();
                        boolean right = answer.body().equals(method.equals("HEAD") ? "" : expected);
                        if (answer.statusCode() != 200 || !right) lost.add(answer.statusCode() + " " + answer.body());
                    } catch (Exception failure) {
                        lost.add(String.valueOf(failure));
                    }
                }
            }
            System.out.println(method + ": " + lost.size() + " of " + count + " lost" + (lost.isEmpty() ? "" : ", first " + lost.get(0)));
        }
    }
}
