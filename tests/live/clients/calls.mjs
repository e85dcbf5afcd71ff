// Make calls of the published TypeScript SDK: node calls.mjs <its module>. Reads and prints JSON.
import { text } from "node:stream/consumers";
const { AgentTalk } = await import(process.argv[2]);

const CALLS = {
  health: (client) => client.health(),
  voices: async (client) => (await client.voices.list()).map((voice) => voice.id),
  voice: async (client, id) => (await client.voices.get(id)) ?? null,
  create: (client, text, voice) => client.memo.create({ text, voice }),
  demo: (client, text, voice) => client.memo.demo({ text, voice }),
};

const outcomes = [];
for (const { url, key, call, values } of JSON.parse(await text(process.stdin))) {
  const client = new AgentTalk({ apiKey: key ?? undefined, baseUrl: url });
  try {
    outcomes.push({ value: await CALLS[call](client, ...values) });
  } catch (error) {
    const { name, code, statusCode, details } = error;
    outcomes.push({ raised: name, code, status: statusCode, details });
  }
}
console.log(JSON.stringify(outcomes));
