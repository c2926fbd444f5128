// Operates the Slack twin with the official npm client, unmodified.
// Environment: SLACK_URL, SLACK_TOKEN. Prints one JSON document for the test that started it.
import assert from 'node:assert/strict';
import { LogLevel, WebClient } from '@slack/web-api';

const options = { slackApiUrl: `${process.env.SLACK_URL}/api/`, retryConfig: { retries: 0 }, logLevel: LogLevel.ERROR };
const slack = new WebClient(process.env.SLACK_TOKEN, options);

async function fails (error, promise) {
  await assert.rejects(promise, caught => {
    assert.equal(caught.code, 'slack_webapi_platform_error');
    assert.equal(caught.data.error, error);
    return true;
  });
}

const who = await slack.auth.test();
assert.ok(who.ok && who.bot_id && who.team_id);

const { channels } = await slack.conversations.list({ limit: 200 });
const billing = channels.find(channel => channel.name === 'billing');
assert.ok(billing, 'there is a channel billing');

const metadata = { event_type: 'payment_failed', event_payload: { invoice: 'in_1', attempt: 2 } };
const posted = await slack.chat.postMessage({ channel: '#billing', text: 'Payment failed: Adam', metadata });
assert.equal(posted.channel, billing.id);
assert.match(posted.ts, /^\d+\.\d{6}$/);
assert.equal(posted.message.text, 'Payment failed: Adam');

const blocks = [{ type: 'section', text: { type: 'mrkdwn', text: '*second*' } }];
const second = await slack.chat.postMessage({ channel: billing.id, blocks, text: 'second', thread_ts: posted.ts });
assert.deepEqual(second.message.blocks, blocks);
await slack.chat.update({ channel: billing.id, ts: posted.ts, text: 'Payment failed: Adam Smith' });

// What answers a message is in its thread alone, unless it is broadcast.
const shown = async () => (await slack.conversations.history({ channel: billing.id })).messages.map(one => one.ts);
assert.deepEqual(await shown(), [posted.ts]);
const third = await slack.chat.postMessage({ channel: billing.id, text: 'third', thread_ts: posted.ts, reply_broadcast: true });
assert.deepEqual(await shown(), [third.ts, posted.ts]);
const plain = await slack.conversations.history({ channel: billing.id });
assert.equal(plain.messages[1].metadata, undefined, 'metadata only when asked for');
assert.equal(plain.messages[1].reply_count, 2);
const history = await slack.conversations.history({ channel: billing.id, include_all_metadata: true, limit: 1 });
assert.deepEqual([history.messages.length, history.has_more, history.messages[0].ts], [1, true, third.ts]);
const rest = await slack.conversations.history({
  channel: billing.id, include_all_metadata: true, limit: 1, cursor: history.response_metadata.next_cursor
});
assert.equal(rest.messages[0].text, 'Payment failed: Adam Smith');
assert.deepEqual(rest.messages[0].metadata, metadata);
const after = await slack.conversations.history({ channel: billing.id, oldest: posted.ts });
assert.deepEqual(after.messages.map(message => message.ts), [third.ts]);

const { members } = await slack.users.list();
const { user } = await slack.users.lookupByEmail({ email: members[0].profile.email });
assert.equal(user.id, members[0].id);

assert.equal((await slack.users.info({ user: user.id })).user.profile.email, members[0].profile.email);
await slack.conversations.join({ channel: billing.id });
const direct = await slack.conversations.open({ users: user.id });
const whispered = await slack.chat.postMessage({ channel: user.id, text: 'whispered' });
assert.equal(whispered.channel, direct.channel.id);
await slack.chat.postEphemeral({ channel: billing.id, user: user.id, text: 'only you' });
await slack.reactions.add({ channel: billing.id, timestamp: posted.ts, name: 'eyes' });
const reacted = await slack.reactions.get({ channel: billing.id, timestamp: posted.ts });
assert.deepEqual(reacted.message.reactions.map(({ name, count }) => [name, count]), [['eyes', 1]]);
await fails('already_reacted', slack.reactions.add({ channel: billing.id, timestamp: posted.ts, name: 'eyes' }));
await slack.reactions.remove({ channel: billing.id, timestamp: posted.ts, name: 'eyes' });
const thread = await slack.conversations.replies({ channel: billing.id, ts: posted.ts });
assert.deepEqual(thread.messages.map(message => message.ts), [posted.ts, second.ts, third.ts]);
const later = await slack.conversations.replies({ channel: billing.id, ts: posted.ts, oldest: second.ts });
assert.deepEqual(later.messages.map(message => message.ts), [posted.ts, third.ts]);
assert.ok((await slack.conversations.members({ channel: billing.id })).members.includes(user.id));
assert.match((await slack.chat.getPermalink({ channel: billing.id, message_ts: posted.ts })).permalink, /^https:/);

// Three requests, and the second to the address that the first one answers.
const file = Buffer.from('id,amount\nin_1,4900\n');
await slack.files.uploadV2({ channel_id: billing.id, file, filename: 'unpaid.csv', title: 'Unpaid' });
await slack.files.uploadV2({
  channel_id: billing.id, content: 'Grüße', filename: 'a.txt', thread_ts: posted.ts, initial_comment: 'see'
});
const { files } = await slack.files.list({ channel: billing.id });
assert.deepEqual(files.map(one => [one.name, one.title, one.size]), [
  ['a.txt', 'a.txt', 7], ['unpaid.csv', 'Unpaid', file.length]
]);
const answers = await slack.conversations.replies({ channel: billing.id, ts: posted.ts });
assert.deepEqual(answers.messages.at(-1).files.map(one => one.name), ['a.txt']);

await fails('channel_not_found', slack.chat.postMessage({ channel: '#nowhere', text: 'x' }));
await fails('no_text', slack.chat.postMessage({ channel: '#billing', text: '' }));
await fails('users_not_found', slack.users.lookupByEmail({ email: 'nobody@example.com' }));
await fails('message_not_found', slack.chat.update({ channel: billing.id, ts: '1.000001', text: 'x' }));
await fails('user_not_found', slack.users.info({ user: 'U0NOBODY' }));
await fails('invalid_trigger_id', slack.views.open({ trigger_id: '1.2.3', view: { type: 'modal' } }));
await fails('unknown_method', slack.apiCall('no.such.method'));
await fails('invalid_auth', new WebClient('xoxb-wrong', options).auth.test());
console.log(JSON.stringify({ ok: true, channel: billing.id }));
