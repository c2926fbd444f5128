// An app made with Slack's official framework, unmodified, which the twin tells of what people do.
// Environment: SLACK_URL, SLACK_TOKEN, SLACK_SIGNING_SECRET. Prints one JSON document with its port, and stays up until
// its standard input ends.
import bolt from '@slack/bolt';

const app = new bolt.App({
  token: process.env.SLACK_TOKEN,
  signingSecret: process.env.SLACK_SIGNING_SECRET,
  clientOptions: { slackApiUrl: `${process.env.SLACK_URL}/api/`, retryConfig: { retries: 0 } },
  logLevel: bolt.LogLevel.ERROR
});

app.action('yes', async ({ ack, action, body, client }) => {
  await ack();
  const text = `${action.value} by ${body.user.username}`;
  await client.chat.update({ channel: body.channel.id, ts: body.message.ts, text, blocks: [] });
});
app.event('app_mention', async ({ event, client }) => {
  await client.chat.postEphemeral({ channel: event.channel, user: event.user, text: `heard: ${event.text}` });
});
// What it does not know is refused.
app.error(async error => { process.stderr.write(`${error.message}\n`); });

const server = await app.start({ port: 0, host: '127.0.0.1' });
console.log(JSON.stringify({ port: server.address().port }));
process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
