"""Picture of a report, as a person sees it: python benchmarks/report_screenshot.py report.html report.png [--phone].

Needs the package playwright (extra `dev`) and Chromium: found on the path, or named in POSEWRIGHT_CHROMIUM.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

LAUNCH = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
]
LAUNCH += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
DESKTOP = {"viewport": {"width": 1440, "height": 900}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}
PATIENCE_MS = 300_000


def main() -> int:
    """Read the arguments, open the report, save the picture."""
    options = _arguments()
    chromium = os.environ.get("POSEWRIGHT_CHROMIUM") or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if chromium is None:
        print("Chromium was not found: install it, or name it in POSEWRIGHT_CHROMIUM", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=LAUNCH)
        page = browser.new_page(**(PHONE if options.phone else DESKTOP), color_scheme=options.scheme)
        page.set_default_timeout(PATIENCE_MS)
        _photograph(page, options)
        browser.close()
    print(options.picture)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path)
    parser.add_argument("picture", type=Path, help=".png to write")
    parser.add_argument("--phone", action="store_true", help="390x844 instead of 1440x900")
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    parser.add_argument(
        "--time", type=float, help="seconds from the first frame; default: the report's own choice"
    )
    parser.add_argument("--view", choices=("front", "side", "top", "camera", "reset"), help="point of view")
    parser.add_argument(
        "--show", nargs="*", default=(), help="layers to switch: Trails 'Raw joints' Contacts"
    )
    parser.add_argument("--full", action="store_true", help="the whole page, not just the first screen")
    return parser.parse_args()


def _photograph(page: Page, options: argparse.Namespace) -> None:
    page.goto(options.report.resolve().as_uri())
    page.wait_for_selector("html[data-ready=true]", state="attached")
    if options.time is not None:
        page.evaluate("time => posewrightReport.player.seek(time)", options.time)
    if options.view:
        page.evaluate("view => posewrightReport.stand(view)", options.view)
    for layer in options.show:
        page.click(f"#view-toggles >> text={layer}")
    page.evaluate(
        "() => new Promise(done => { const v = document.querySelector('video');"
        " v && v.seeking ? v.addEventListener('seeked', done, { once: true }) : done(); })"
    )
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.screenshot(path=options.picture, full_page=options.full, timeout=PATIENCE_MS)


if __name__ == "__main__":
    sys.exit(main())
