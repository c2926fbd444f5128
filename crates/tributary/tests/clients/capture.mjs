// A server on loopback that answers everything with `{}` and tells what it was asked last: what an official library
// sends, byte for byte.

import { createServer } from "node:http";

export async function capture(answer = "{}") {
  let caught;
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      const type = request.headers["content-type"] ?? "";
      caught = { method: request.method, path: request.url, type, body: Buffer.concat(chunks).toString("base64") };
      response.setHeader("Content-Type", "application/json");
      response.end(answer);
    });
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  return {
    port: server.address().port,
    // What a call sends, or why it sent nothing.
    async sent(call) {
      caught = undefined;
      try {
        await call();
        return caught ?? { error: "nothing was sent" };
      } catch (error) {
        return caught ?? { error: `${error.message}` };
      }
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
