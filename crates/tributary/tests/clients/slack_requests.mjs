// What the official Slack library sends for given arguments. Environment: CASES, a file with [{request, params}], where
// `request` names the method: "POST /api/chat.postMessage". Prints one JSON document: {sent: one
// {method, path, type, body (base64)} or {error} for each case}.

import { readFileSync } from "node:fs";
import { LogLevel, WebClient } from "@slack/web-api";
import { capture } from "./capture.mjs";

const server = await capture('{"ok":true}');
const options = { slackApiUrl: `http://127.0.0.1:${server.port}/api/`, retryConfig: { retries: 0 }, logLevel: LogLevel.ERROR };
const slack = new WebClient("xoxb-requests", options);

const sent = [];
for (const { request, params } of JSON.parse(readFileSync(process.env.CASES, "utf8"))) {
  const way = request.split("/api/")[1].split(".");
  // `chat.postMessage` is `slack.chat.postMessage`: one that the library does not have is an error.
  sent.push(await server.sent(() => way.reduce((at, name) => at[name], slack)(params)));
}
console.log(JSON.stringify({ sent }));
server.close();
