"""Settings of billing: all of Stripe's or none, and no secret in any text."""

import pytest

from shared.core.billing_settings import BillingSettings
from shared.core.settings import Settings, SettingsError
from tests.core.test_settings import PRODUCTION, problem, problems
from tests.fakes.stripe_world import BILLING, SELLING
from tests.support import BY_SES


def test_billing_is_off_by_default() -> None:
    """Stripe's settings are optional, also in production."""
    assert not Settings.from_env({}).billing.is_on
    assert not Settings.from_env(PRODUCTION | BY_SES).billing.is_on


def test_billing_reads_every_variable() -> None:
    """Several secrets and several prices of a tier are separated by commas."""
    assert Settings.from_env(SELLING).billing == BILLING
    read = Settings.from_env(
        SELLING
        | {
            "STRIPE_WEBHOOK_SECRET": "whsec_new, whsec_old, ,",
            "STRIPE_PRICE_PRO": "price_new,price_old",
            "STRIPE_PRICE_ENTERPRISE": "",
            "STRIPE_BASE_URL": "http://127.0.0.1:12111/",
        }
    ).billing
    assert read.webhook_secrets == ("whsec_new", "whsec_old")
    assert read.prices == {"pro": ("price_new", "price_old")}
    assert read.url == "http://127.0.0.1:12111"


@pytest.mark.parametrize("name", ["STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_PRICE_PRO"])
def test_billing_needs_all_of_stripe(name: str) -> None:
    """A key without a price sells nothing, and one without a webhook's secret gives no plan."""
    assert problem(SELLING | {name: ""}).startswith(f"{name} is missing")
    assert len(problems({name: SELLING[name]})) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STRIPE_SECRET_KEY", "pk_test_publishable"),
        ("STRIPE_SECRET_KEY", "sk_test_ space"),
        ("STRIPE_WEBHOOK_SECRET", "short"),
        ("STRIPE_WEBHOOK_SECRET", ","),
        ("STRIPE_PRICE_PRO", ","),
        ("STRIPE_PRICE_PRO", "price with a space"),
        ("STRIPE_PRICE_ENTERPRISE", "price_pro"),
        ("STRIPE_BASE_URL", "api.stripe.com"),
        ("SALES_EMAIL", "nobody"),
    ],
)
def test_billing_names_the_wrong_variable(name: str, value: str) -> None:
    """The error names the variable, and never contains a secret."""
    text = problem(SELLING | {name: value})
    assert name in text
    assert "sk_test" not in text


def test_billing_warns_of_a_test_key_in_production() -> None:
    """A stage before the real one may have a test key. Plain HTTP to Stripe is refused in production."""
    settings = Settings.from_env(PRODUCTION | BY_SES | SELLING)
    assert [warning for warning in settings.warnings if "STRIPE_SECRET_KEY" in warning] != []
    assert Settings.from_env(SELLING).warnings == ()
    live = SELLING | {"STRIPE_SECRET_KEY": "sk_live_1234"}
    assert Settings.from_env(PRODUCTION | BY_SES | live).warnings == ()
    with pytest.raises(SettingsError, match="STRIPE_BASE_URL must be https"):
        Settings.from_env(PRODUCTION | BY_SES | live | {"STRIPE_BASE_URL": "http://stripe.example.org"})


def test_billing_settings_show_no_secret() -> None:
    """The settings' repr contains no secret."""
    shown = repr(BILLING)
    assert "sk_test" not in shown
    assert "whsec" not in shown
    assert BillingSettings().url == "https://api.stripe.com"
