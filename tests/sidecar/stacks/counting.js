// What counting.py does, in plain Node.
"use strict";
const http = require("http");

http
  .createServer((request, response) => {
    let size = 0;
    request.on("data", (part) => { size += part.length; });
    request.on("end", () => {
      const said = `${request.method} ${size}`;
      response.writeHead(200, { "Content-Type": "text/plain", "Content-Length": said.length });
      response.end(request.method === "HEAD" ? undefined : said);
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
