"""The plan in the console, against a fake Stripe: bought, cancelled, kept, managed, and nothing for sale."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.sites import Site, log_in, needs_chromium, serving, watched_page
from tests.fakes.stripe_world import SELLING

pytestmark = needs_chromium

STRIPE: Final = ("https://checkout.stripe.com/", "https://billing.stripe.com/")


@pytest.fixture(params=["memory", "micro"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serving(request.param, SELLING) as site:
        yield site


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    """Yield a page that may open Stripe's address, where the tests serve a page."""

    def be_stripe(route: Route) -> None:
        route.fulfill(body="<!doctype html><title>Stripe</title><h1>Stripe</h1>", content_type="text/html")

    with watched_page(browser, site, leads_to=STRIPE) as page:
        for host in STRIPE:
            page.route(f"{host}**", be_stripe)
        yield page


@pytest.fixture
def token(page: Page, site: Site) -> str:
    """Return a session of the page's owner."""
    token: str = site.sign_up()["token"]
    log_in(page)
    page.get_by_role("link", name="Plan", exact=True).click()
    return token


def subscription_of(site: Site, token: str) -> dict[str, Any]:
    with site.api(token) as api:
        subscription: dict[str, Any] = api.get("/api/v1/billing/subscription").json()["subscription"]
    return subscription


def check_out(page: Page, site: Site) -> dict[str, Any]:
    """Press the button. Returns the checkout session of Stripe's page that the browser then shows."""
    page.get_by_role("button", name="Get Pro").click()
    page.wait_for_url("https://checkout.stripe.com/**")
    session: dict[str, Any] = list(site.stripe.objects.sessions.values())[-1]
    assert page.url == session["url"]
    return session


def test_pro_is_bought_cancelled_and_kept(page: Page, site: Site, token: str) -> None:
    """The page shows the API's state, immediately or after Stripe's event."""
    expect(page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Hobby Your plan"))).to_be_visible()
    session = check_out(page, site)
    site.stripe.objects.pay(session["id"])
    page.goto(session["success_url"])
    expect(page.get_by_text("Your payment is being confirmed.")).to_be_visible()
    assert page.url.endswith("/app?view=plan"), "a reload does not thank again"
    assert subscription_of(site, token)["tier"] == "hobby"
    site.deliver_stripe()
    expect(page.get_by_text("Thank you. You are on the Pro plan.")).to_be_visible()
    assert subscription_of(site, token)["tier"] == "pro"
    expect(page.get_by_role("button", name="Get Pro")).to_have_count(0)
    expect(page.get_by_text("It renews on")).to_be_visible()
    page.get_by_role("button", name="Cancel Pro").click()
    dialog = page.get_by_role("dialog", name="Cancel the Pro plan?")
    dialog.get_by_role("button", name="Keep the plan").click()
    assert subscription_of(site, token)["cancelAtPeriodEnd"] is False
    page.get_by_role("button", name="Cancel Pro").click()
    dialog.get_by_role("button", name="Cancel the plan").click()
    expect(page.get_by_text("Until then nothing changes.").first).to_be_visible()
    assert subscription_of(site, token)["cancelAtPeriodEnd"] is True
    page.get_by_role("button", name="Keep Pro").click()
    expect(page.get_by_text("It renews on")).to_be_visible()
    assert subscription_of(site, token)["cancelAtPeriodEnd"] is False


def test_checkout_that_is_left_changes_nothing(page: Page, site: Site, token: str) -> None:
    """Stripe's link back shows a message. After it, and after the back button, the plan can be bought."""
    session = check_out(page, site)
    page.goto(session["cancel_url"])
    expect(page.get_by_text("The checkout was left. Nothing was bought, and nothing is charged.")).to_be_visible()
    check_out(page, site)
    page.go_back()
    expect(page.get_by_role("button", name="Get Pro")).to_be_visible()
    assert subscription_of(site, token)["tier"] == "hobby"


def test_portal_is_opened_and_left_with_its_changes(page: Page, site: Site, token: str) -> None:
    """A cancellation at Stripe shows after the return; a failed payment shows a message with a remedy."""
    subscription = site.stripe.objects.pay(check_out(page, site)["id"])
    site.deliver_stripe()
    page.goto("/app?view=plan")
    page.get_by_role("button", name="Cards and invoices").click()
    page.wait_for_url("https://billing.stripe.com/**")
    end = site.stripe.objects.subscription(subscription)["items"]["data"][0]["current_period_end"]
    site.stripe.objects.change(subscription, cancel_at_period_end=True, cancel_at=end)
    site.deliver_stripe()
    page.goto("/app?view=plan&billing=portal")
    expect(page.get_by_text("Changes that you made at Stripe are shown here.")).to_be_visible()
    expect(page.get_by_text("Until then nothing changes.")).to_be_visible()
    site.stripe.objects.change(subscription, cancel_at_period_end=False, cancel_at=None)
    site.stripe.objects.renew(subscription, pays=False)
    site.deliver_stripe()
    page.reload()
    expect(page.get_by_text("The last payment failed. Your plan goes on for now")).to_be_visible()
    assert subscription_of(site, token)["status"] == "past_due"


def test_enterprise_leads_to_an_address(page: Page, token: str) -> None:
    """Enterprise is by agreement: the button shows an address to write to."""
    assert token
    page.get_by_role("button", name="Ask for an offer").click()
    expect(page.get_by_role("link", name="sales@example.org")).to_have_attribute("href", "mailto:sales@example.org")


def test_plan_says_that_nothing_is_for_sale(browser: Browser) -> None:
    """Without Stripe the page shows the plans' contents without buttons, and a message after a checkout's return."""
    with serving() as site, watched_page(browser, site) as page:
        site.sign_up()
        log_in(page)
        page.get_by_role("link", name="Plan", exact=True).click()
        expect(page.get_by_text("This service takes no payments: its operator gives plans.")).to_be_visible()
        expect(page.get_by_text("1,000\u00a0memos a day")).to_be_visible()
        expect(page.get_by_role("button", name="Get Pro")).to_have_count(0)
        page.goto("/app?view=plan&billing=success")
        expect(page.get_by_text("so nothing was bought or changed.")).to_be_visible()
