"""The deployments that are packaged and checked, and the configurations that must be refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from deploy.bundle import BUILD
from shared.core.settings import DEVELOPMENT_SECRET

CANARY: Final = "a-secret-that-must-not-be-in-a-template-of-production"
SESSION_SECRET: Final = "/agent-talk/production/session-secret"  # noqa: S105 a parameter's name


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A deployment to check. `table` is the DynamoDB table of the functions, if any; `parameters` contain secrets."""

    name: str
    stage: str
    env: Mapping[str, str]
    makes_table: bool
    table: str = ""
    parameters: Mapping[str, str | Sequence[str]] = field(
        default_factory=lambda: {"SessionSecretPolicy": SESSION_SECRET}
    )

    @property
    def bucket(self) -> object:
        """The audio bucket, as the template names it; None: audio is not in S3."""
        if self.env.get("AUDIO") != "s3":
            return None
        return self.env.get("AUDIO_BUCKET") or {"Ref": "AudioBucket"}

    @property
    def choices(self) -> frozenset[str]:
        """The voices of all tiers."""
        return frozenset(self.env.get(name, "") for name in ("SPEECH", "SPEECH_PRO", "SPEECH_ENTERPRISE"))

    @property
    def folder(self) -> Path:
        return BUILD / f"template-{self.name}"

    @property
    def path(self) -> Path:
        return self.folder / "cloudformation-template-update-stack.json"


_SECRETS: Final = {
    "SESSION_SECRET": CANARY,
    "HYPERMICRO_API_KEY": CANARY,
    "HYPR_APP_SLUG": CANARY,
    "ELEVENLABS_API_KEY": CANARY,
    "OPENAI_API_KEY": CANARY,
    "SMTP_PASSWORD": CANARY,
    "STRIPE_SECRET_KEY": CANARY,
    "STRIPE_WEBHOOK_SECRET": CANARY,
}

_STRIPE: Final = {
    "STRIPE_SECRET_KEY_PARAMETER": "/agent-talk/production/stripe-secret-key",
    "STRIPE_WEBHOOK_SECRET_PARAMETER": "/agent-talk/production/stripe-webhook-secret",
    "STRIPE_PRICE_PRO_PARAMETER": "/agent-talk/production/stripe-price-pro",
}

_SES: Final = {"MAIL": "ses", "MAIL_FROM": "talk@example.org"}

DEPLOYMENTS: Final = (
    Deployment(
        name="dev",
        stage="dev",
        env={"AGENT_TALK_STORE": "memory", "SESSION_SECRET": CANARY, "SPEECH": "simulated", **_SES},
        makes_table=False,
        parameters={},
    ),
    Deployment(
        name="staging",
        stage="staging",
        env={
            "AGENT_TALK_STORE": "dynamodb",
            "SPEECH": "local",
            "AUDIO": "s3",
            "AUDIO_BUCKET": "agent-talk-audio",
            **_SES,
        },
        makes_table=True,
        table="agent-talk-staging",
        parameters={"SessionSecretPolicy": "/agent-talk/staging/session-secret"},
    ),
    Deployment(
        name="production",
        stage="production",
        env={
            **_SECRETS,
            "AGENT_TALK_STORE": "dynamodb",
            "SPEECH": "polly",
            "SPEECH_PRO": "elevenlabs",
            **_SES,
            "ELEVENLABS_API_KEY_PARAMETER": "/agent-talk/production/elevenlabs-api-key",
            **_STRIPE,
            "AUDIO": "s3",
            "DOMAIN_NAME": "api.example.org",
            "CERTIFICATE_ID": "12345678-1234-1234-1234-123456789012",
            "RESERVED_CONCURRENCY_USERS": "20",
            "RESERVED_CONCURRENCY_HEALTH": "5",
            "RESERVED_CONCURRENCY_HOUSEKEEPING": "1",
        },
        makes_table=True,
        table="agent-talk-production",
        parameters={
            "SessionSecretPolicy": SESSION_SECRET,
            "ElevenLabsKeyPolicy": "/agent-talk/production/elevenlabs-api-key",
            "StripePolicy": tuple(_STRIPE.values()),
        },
    ),
    Deployment(
        name="moving",
        stage="production",
        env={
            **_SECRETS,
            "AGENT_TALK_STORE": "micro",
            "SPEECH": "openai",
            "MAIL": "smtp",
            "MAIL_FROM": "talk@example.org",
            "SMTP_HOST": "smtp.example.org",
            "SMTP_USER": "talk",
            "SMTP_PASSWORD_PARAMETER": "/agent-talk/production/smtp-password",
            "OPENAI_BASE_URL": "https://speech.example.org/v1",
            "OPENAI_API_KEY_PARAMETER": "/agent-talk/production/openai-api-key",
            "AUDIO": "s3",
            "HYPR_URL": "https://micro.example.org",
            "HYPERMICRO_API_KEY_PARAMETER": "/agent-talk/production/hypermicro-api-key",
            "VPC_SUBNET_IDS": "subnet-1234567a, subnet-1234567b",
            "VPC_SECURITY_GROUP_IDS": "sg-12345678",
            "CREATE_TABLE": "1",
        },
        makes_table=True,
        parameters={
            "SessionSecretPolicy": SESSION_SECRET,
            "MicroKeyPolicy": "/agent-talk/production/hypermicro-api-key",
            "OpenAiKeyPolicy": "/agent-talk/production/openai-api-key",
            "SmtpPasswordPolicy": "/agent-talk/production/smtp-password",
        },
    ),
    Deployment(
        name="platform",
        stage="production",
        env={
            **_SECRETS,
            "AGENT_TALK_STORE": "micro",
            "HYPR_PLATFORM_URL": "https://platform.example.org",
            "HYPR_APP_SLUG_PARAMETER": "/agent-talk/production/app-slug",
        },
        makes_table=False,
        parameters={
            "SessionSecretPolicy": SESSION_SECRET,
            "AppSlugPolicy": "/agent-talk/production/app-slug",
        },
    ),
    Deployment(
        name="restored",
        stage="production",
        env={**_SECRETS, "AGENT_TALK_STORE": "dynamodb", "DYNAMODB_TABLE": "agent-talk-restored", "CREATE_TABLE": "0"},
        makes_table=False,
        table="agent-talk-restored",
    ),
)

REFUSED: Final[Sequence[tuple[str, Mapping[str, str], str]]] = (
    ("prod", {}, "call it production"),
    ("live", {}, "call it production"),
    ("Production", {}, "call it production"),
    ("dev", {"SESSION_SECRET": DEVELOPMENT_SECRET}, "must not be the one that stands in the source"),
    ("dev", {"SESSION_SECRET": "short"}, "must have 32 bytes"),
    ("dev", {"VPC_SUBNET_IDS": "subnet-1234567a"}, "belong together"),
    ("dev", {"RESERVED_CONCURRENCY_USERS": "many"}, "must be a whole number"),
)
"""Stages and environments that osls refuses to package, each with a part of its message."""
