// The paths of the stacks in plain Node: names in their own case, reasons of its own, odd statuses.
"use strict";
const fs = require("fs");
const http = require("http");
const path = require("path");
const zlib = require("zlib");

const page = fs.readFileSync(path.join(process.env.STACK_FOLDER, "page.txt"));
const packed = zlib.gzipSync(page);
const big = Buffer.alloc(3072000, Buffer.from(Array.from({ length: 256 }, (_, n) => n)));

function ranged(request, response) {
  const found = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range || "");
  if (!found) return response.writeHead(200, { "Content-Length": page.length, "Accept-Ranges": "bytes" }).end(page);
  const part = page.subarray(Number(found[1]), Number(found[2]) + 1);
  const range = `bytes ${found[1]}-${found[2]}/${page.length}`;
  return response.writeHead(206, { "Content-Range": range, "Content-Length": part.length }).end(part);
}

function chunked(request, response) {
  if (request.method === "HEAD") return response.writeHead(200, { "Content-Type": "text/plain" }).end();
  response.writeHead(200, { "Content-Type": "text/plain", Trailer: "X-Sum" });
  for (let number = 0; number < 3; number += 1) response.write(`part ${number}\n`.repeat(100));
  response.addTrailers({ "X-Sum": "1" });
  return response.end();
}

const server = http.createServer((request, response) => {
  const [route, code] = [request.url.split(/[?]/)[0], request.url.split("/")[2]];
  if (request.method === "POST") {
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const body = Buffer.concat(parts);
      response.end(Buffer.concat([Buffer.from(`${body.length}:`), body.subarray(0, 100)]));
    });
  } else if (route === "/etag") {
    if (request.headers["if-none-match"] === '"a1b2"') response.writeHead(304, { ETag: '"a1b2"' }).end();
    else response.writeHead(200, { ETag: '"a1b2"', "cache-control": "max-age=60" }).end("tagged");
  } else if (route === "/page.txt") ranged(request, response);
  else if (route === "/packed") response.writeHead(200, { "Content-Encoding": "gzip", vary: "Accept-Encoding" }).end(packed);
  else if (route === "/chunked") chunked(request, response);
  else if (route === "/cookies") {
    const cookies = ["first=1; Path=/", "second=2; Path=/; HttpOnly", "first=3; Path=/a"];
    response.writeHead(200, ["Set-Cookie", cookies[0], "x-Between", "yes", "set-cookie", cookies[1], "X-BETWEEN", "no", "SET-COOKIE", cookies[2]]);
    response.end("baked");
  } else if (route.startsWith("/status/")) response.writeHead(Number(code), "A reason of our own").end("odd");
  else if (route === "/empty") response.end();
  else if (route === "/big") response.writeHead(200, { "Content-Length": big.length }).end(big);
  else if (route === "/latin") response.writeHead(200, { "X-Name": "Zo\u00eb" }).end("latin");
  else if (route === "/nodate") {
    response.sendDate = false;
    response.end("timeless");
  } else response.end(request.url);
});
server.keepAliveTimeout = 30000;
server.listen(Number(process.argv[2]), "127.0.0.1");
