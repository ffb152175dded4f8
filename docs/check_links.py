"""Check that every relative link and every named file in the Markdown pages exists: `python docs/check_links.py`."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")


def broken_links(page: Path) -> list[str]:
    """Relative links of one page that lead nowhere."""
    links = [m.group(1) for m in LINK.finditer(page.read_text(encoding="utf-8"))]
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    return [link for link in local if not (page.parent / link).exists()]


def main() -> int:
    """Print what is broken; 1 if anything is."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")]
    problems = [f"{page.relative_to(ROOT)}: {link}" for page in pages for link in broken_links(page)]
    sys.stdout.write(
        "".join(f"broken link: {p}\n" for p in problems) or f"{len(pages)} pages, all links lead somewhere\n"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
