"""A memo is played from S3 in a headless Chromium: the audio place is the only other host that the page contacts.

`make test-s3` runs this; it is not in the default run, since it needs an engine, which `S3_URL` names.
"""

from playwright.sync_api import Browser, expect

from shared.audio.opening import AudioPlace
from shared.audio.s3 import S3Access, S3Files
from tests.browser.sites import needs_chromium, serving, watched_page
from tests.browser.test_memos import fill_in, heard, memos, opened
from tests.fakes.s3_world import CREDENTIALS, LIVE_URL, bucket_on, s3_client

pytestmark = needs_chromium


def test_memo_is_heard_from_the_bucket(browser: Browser) -> None:
    """The memo is said by our own voices and played after a redirect to the bucket. The page contacts no third host."""
    with bucket_on(s3_client(LIVE_URL)) as bucket:
        files = S3Files(bucket, open_access=lambda: S3Access(client=s3_client(LIVE_URL), credentials=CREDENTIALS))
        place = {"SPEECH": "local", "AUDIO": "s3", "AUDIO_BUCKET": bucket, "AWS_ENDPOINT_URL": LIVE_URL}
        with (
            serving(environ=place, audio=AudioPlace(lambda: (files, files.aclose))) as site,
            watched_page(browser, site, leads_to=(LIVE_URL,)) as page,
        ):
            site.sign_up()
            opened(page)
            fill_in(page, "Hello from the bucket.")
            page.get_by_role("button", name="Say it").click()
            expect(memos(page)).to_have_count(1)
            asked: list[str] = []
            page.on("request", lambda sent: asked.append(sent.url))
            assert heard(memos(page).locator("audio")) > 0.5
            assert any(url.startswith(f"{LIVE_URL}/{bucket}/") for url in asked), asked
