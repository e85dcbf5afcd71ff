"use strict";
// The deployer's choices, read from the environment when a stage is packaged: `${file(deploy/chosen.cjs):name}`.
// It is JavaScript because osls requires it; serverless.yml alone can neither refuse a name nor split a list.

// Equal to DEVELOPMENT_SECRET of shared/core/settings.py: a test compares both.
const DEVELOPMENT_SECRET = "development-only-secret-that-everyone-knows";

// Names that sound like production. Every stage except `production` is one of development: with its defaults, with a
// table that can be deleted, and with a plain secret if the deployer sets one.
const SOUNDS_LIKE_PRODUCTION = /prod|prd|(^|[^a-z])(live|main|master|release)([^a-z]|$)/i;

function checkStage(stage) {
  if (stage !== "production" && SOUNDS_LIKE_PRODUCTION.test(stage)) {
    throw new Error(`the stage ${stage} would be one of development: call it production, or by a name that does not sound like it`);
  }
}

// The secret itself, which only a stage of development may have in its environment; otherwise empty.
function plainSecret(stage, env) {
  const secret = stage === "production" ? "" : env.SESSION_SECRET || "";
  if (secret && !env.IS_LOCAL && (secret === DEVELOPMENT_SECRET || Buffer.byteLength(secret) < 32)) {
    throw new Error("SESSION_SECRET must have 32 bytes or more, and must not be the one that stands in the source");
  }
  return secret;
}

// The name of the secret's parameter. Every deployed stage has one, unless it has the secret itself.
function secretParameter(stage, env) {
  if (plainSecret(stage, env) || env.IS_LOCAL) return "";
  const name = env.SESSION_SECRET_PARAMETER || `/agent-talk/${stage}/session-secret`;
  if (!name.startsWith("/")) throw new Error("SESSION_SECRET_PARAMETER must begin with a slash");
  return name;
}

function list(env, name) {
  return (env[name] || "").split(",").map((word) => word.trim()).filter(Boolean);
}

// Two empty lists: not in a VPC.
function network(env) {
  const subnetIds = list(env, "VPC_SUBNET_IDS");
  const securityGroupIds = list(env, "VPC_SECURITY_GROUP_IDS");
  if ((subnetIds.length === 0) !== (securityGroupIds.length === 0)) {
    throw new Error("VPC_SUBNET_IDS and VPC_SECURITY_GROUP_IDS belong together");
  }
  return { subnetIds, securityGroupIds };
}

function count(env, name, otherwise) {
  const value = env[name] || String(otherwise);
  if (!/^[1-9][0-9]{0,5}$/.test(value)) throw new Error(`${name} must be a whole number above 0, not ${value}`);
  return Number(value);
}

// The archive and memory of the functions that speak. Our own voices have their own archive (`make bundle-speech`), and
// their speed depends on CPU, which is proportional to memory.
function speaking(env) {
  const own = [env.SPEECH, env.SPEECH_PRO, env.SPEECH_ENTERPRISE].includes("local");
  const artifact = own ? env.AGENT_TALK_SPEECH_ARTIFACT || "build/agent-talk-speech-arm64.zip" : env.AGENT_TALK_ARTIFACT || "build/agent-talk-arm64.zip";
  // The speaker joins up to 120 MB of a provider's audio, in several copies.
  return { artifact, memorySize: own ? 2048 : 512, speakerMemorySize: own ? 2048 : 1024 };
}

// The parameters of Stripe's secrets and prices that the deployer names. One policy reads all of them, so their list is
// made here: a condition for each would be constant in a packaged template, which cfn-lint refuses.
function stripe(env) {
  const variables = ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_PRICE_PRO", "STRIPE_PRICE_ENTERPRISE"];
  const names = variables.map((variable) => env[`${variable}_PARAMETER`] || "").filter(Boolean);
  const parameter = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter";
  return { names: names.join(","), parameters: (names.length ? names : [""]).map((name) => ({ "Fn::Sub": parameter + name })) };
}

// A string, as CloudFormation compares strings; "0": none is reserved.
function reserved(env, name) {
  return env[name] ? String(count(env, name)) : "0";
}

module.exports = async ({ resolveVariable }) => {
  const { env } = process;
  const stage = await resolveVariable("sls:stage");
  checkStage(stage);
  return {
    sessionSecret: plainSecret(stage, env),
    sessionSecretParameter: secretParameter(stage, env),
    network: network(env),
    speaking: speaking(env),
    stripe: stripe(env),
    reserved: {
      users: reserved(env, "RESERVED_CONCURRENCY_USERS"),
      health: reserved(env, "RESERVED_CONCURRENCY_HEALTH"),
      housekeeping: reserved(env, "RESERVED_CONCURRENCY_HOUSEKEEPING"),
    },
    refusalsAlarm: count(env, "REFUSALS_ALARM", 500),
    throttleRate: count(env, "THROTTLE_RATE", 200),
    throttleBurst: count(env, "THROTTLE_BURST", 400),
  };
};
