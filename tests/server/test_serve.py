"""`posewright serve` as its users meet it: a process of its own on a loopback port, and a real HTTP client."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from posewright.bodies import anny
from posewright.core.assets import cache_folder
from posewright.io import keypoints_npz
from tests.scenes import walking_keypoints

httpx = pytest.importorskip("httpx", reason="needs the package httpx (extra `dev`)")
pytest.importorskip("fastapi", reason="needs the package fastapi (extra `serve`)")

PATIENCE_S = 120
QUICK = {"formats": "bvh", "people": "1"}


@contextmanager
def serving(data: Path, *options: str):
    """Start a server; give its process and a client."""
    command = [sys.executable, "-c", "from posewright.cli import main; main()", "serve"]
    command += ["--port", "0", "--data", str(data), *options]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        line = process.stdout.readline()
        assert "http://" in line, process.stderr.read()
        url = line.split()[2]
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield process, client
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def walk(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("walk") / "walk.npz"
    keypoints_npz.write(walking_keypoints(seconds=0.5), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def long_walk(tmp_path_factory) -> bytes:
    """Enough frames to be still at work when a test looks again."""
    path = tmp_path_factory.mktemp("walk") / "long.npz"
    keypoints_npz.write(walking_keypoints(seconds=120), path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("server") / "data"


@pytest.fixture(scope="module")
def client(data):
    with serving(data, "--max-upload-mb", "3") as (_, client):
        yield client


@pytest.fixture(scope="module")
def done(client, walk) -> dict:
    """A job that has ended well."""
    return finished(client, send(client, walk, **QUICK).json()["id"])


def send(client, content: bytes, name: str = "walk.npz", **form):
    return client.post("/jobs", files={"clip": (name, content)}, data=form)


def waited(client, job_id: str, condition) -> dict:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        job = client.get(f"/jobs/{job_id}").json()
        if condition(job):
            return job
        time.sleep(0.1)
    raise AssertionError(f"waited {PATIENCE_S} s in vain: {job}")


def finished(client, job_id: str) -> dict:
    return waited(client, job_id, lambda job: job["state"] not in ("queued", "running"))


def has_begun(job: dict) -> bool:
    return job["state"] == "running" and job["stage"] != ""


# ------------------------------------------------------------------------------------- the way through


@pytest.mark.skipif(
    not (cache_folder() / anny.FILE).is_file(),
    reason="the Anny body is not in the cache; load it once to make it",
)
def test_skinned_body_can_be_asked_for(client, walk):
    job = finished(client, send(client, walk, **QUICK, body="anny", body_detail="low").json()["id"])
    assert job["state"] == "done", job["error"]
    made = {file["name"]: file["url"] for file in job["files"]}
    assert {"body.glb", "body.bvh", "body_amass.npz"} <= made.keys()
    assert client.get(made["body.glb"]).content[:4] == b"glTF"


def test_finished_job_says_what_it_made(done):
    assert (done["state"], done["error"], done["people"], done["frames"]) == ("done", None, 1, 15)
    assert {f["name"] for f in done["files"]} == {"motion.npz", "walk.bvh", "report.html", "summary.json"}
    assert done["created"] <= done["started"] < done["ended"]
    assert done["stage"] == "report"
    assert done["done"] == done["total"] == 1


def test_files_and_report_can_be_fetched(client, done):
    for file in done["files"]:
        answer = client.get(file["url"])
        assert answer.status_code == 200
        assert len(answer.content) == file["bytes"]
        assert answer.headers["content-disposition"].startswith("attachment")
    bvh = client.get(f"/jobs/{done['id']}/files/walk.bvh").text
    assert bvh.startswith("HIERARCHY")
    report = client.get(done["report"])
    assert report.headers["content-type"].startswith("text/html")
    assert "content-disposition" not in report.headers
    assert "<html" in report.text


def test_hostile_name_stays_in_its_folder_and_pages_can_be_left_out(client, data, walk, done):
    answer = send(client, walk, "../../../outside.npz", formats="csv", report="false")
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert job["clip"] == "outside.npz"
    assert job["options"] == ["--formats", "csv", "--no-report"]
    assert job["id"] in [j["id"] for j in client.get("/jobs").json()]
    job = finished(client, job["id"])
    assert {f["name"] for f in job["files"]} == {"motion.npz", "outside.csv", "summary.json"}
    assert job["report"] is None
    assert client.get(f"/jobs/{job['id']}/report").status_code == 404
    assert {p.name for p in (data / job["id"]).iterdir()} == {"input", "out", "state.json"}
    assert [p.name for p in data.parent.iterdir()] == [data.name]
    remove_and_check(client, job["id"], data)
    assert client.get(f"/jobs/{done['id']}").status_code == 200


def remove_and_check(client, job_id: str, data: Path) -> None:
    assert client.delete(f"/jobs/{job_id}").json() == {"id": job_id, "state": "removed"}
    assert client.get(f"/jobs/{job_id}").status_code == 404
    assert client.get(f"/jobs/{job_id}/files/motion.npz").status_code == 404
    assert not (data / job_id).exists()


def test_health_says_what_is_accepted(client):
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert health["max_upload_bytes"] == 3_000_000


def test_page_needs_nothing_from_elsewhere(client):
    answer = client.get("/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http://" not in answer.text
    assert "https://" not in answer.text


# --------------------------------------------------------------------------------------- bad requests


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.mp4", b"", "empty.mp4 is empty"),
        ("notes.mp4", b"dear diary, " * 50, "notes.mp4 is no video"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "is no video"),
        ("clip.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", "is no video"),
        ("clip.json", b"HIERARCHY", "is no video"),
    ],
)
def test_what_is_no_clip_is_refused_at_once(client, name, content, said):
    answer = send(client, content, name)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"smooth": "sometimes"}, "smooth is 'sometimes', expected one of one-euro"),
        ({"people": "0"}, "people is '0'"),
        ({"people": "--fresh"}, "people is '--fresh'"),
        ({"subject_height": "174"}, "metres between 0.3 and 2.8"),
        ({"subject_height": "nan"}, "metres between"),
        ({"formats": "bvh,exe"}, "formats is 'bvh,exe'"),
        ({"image_size": "wide"}, "1920x1080"),
        ({"report": "perhaps"}, "true or false"),
        ({"out": "/tmp/elsewhere"}, "'out' is no option of a job"),
        ({"fov": "60", "focal": "900"}, "give one of them"),
        ({"lens": "x" * 2000}, "longer than"),
    ],
)
def test_options_are_checked_before_the_job_is_queued(client, walk, form, said):
    before = len(client.get("/jobs").json())
    answer = send(client, walk, **form)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert len(client.get("/jobs").json()) == before


def test_broken_video_fails_with_the_line_of_the_command_line(client):
    job = finished(client, send(client, b"\0\0\0\x18ftypmp42" + bytes(200), "broken.mp4").json()["id"])
    assert job["state"] == "failed"
    assert job["error"].startswith("broken.mp4 cannot be read as a video")
    assert "Traceback" not in job["error"]


def test_too_large_is_413_however_it_is_sent(client):
    large = b"\x1aE\xdf\xa3" + bytes(4_000_000)
    assert send(client, large, "large.mkv").status_code == 413
    request = httpx.Request("POST", "http://x/", files={"clip": ("large.mkv", large)})
    body = request.read()
    pieces = (body[i : i + 65536] for i in range(0, len(body), 65536))
    answer = client.post("/jobs", content=pieces, headers={"content-type": request.headers["content-type"]})
    assert answer.status_code == 413
    assert "3 MB" in answer.json()["detail"]


def test_form_without_a_clip(client):
    assert "field named clip" in client.post("/jobs", files={"file": ("a.mp4", b"x")}).json()["detail"]
    assert client.post("/jobs", json={"clip": "a.mp4"}).status_code == 422
    cut = b'--b\r\nContent-Disposition: form-data; name="clip"; filename="a.mkv"\r\n\r\n\x1aE\xdf\xa3'
    answer = client.post("/jobs", content=cut, headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status_code == 422
    assert "cut off" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../x.npz", "x.npz"),
        ("/etc/cron.d/x.npz", "x.npz"),
        ("C:\\Windows\\x.npz", "x.npz"),
        ("a\0b.npz", "a_b.npz"),
        (".hidden.npz", "hidden.npz"),
        ("--out.npz", "out.npz"),
        ("<img src=x>.npz", "_img src_x_.npz"),
        ("summary.npz", "clip_summary.npz"),
    ],
)
def test_hostile_file_names_become_harmless(sent, kept):
    from posewright.server.uploads import harmless

    assert harmless(sent) == kept


@pytest.mark.parametrize("sent", ["", "..", "/", "\0", "x" * 5000 + ".mp4", "ü" * 300, "a." + "b" * 300])
def test_any_file_name_can_be_written(sent, tmp_path):
    from posewright.server.uploads import harmless

    path = tmp_path / harmless(sent)
    path.write_bytes(b"x")
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "name",
    [
        "../state.json",
        "..%2Fstate.json",
        "%2e%2e/state.json",
        "..%5Cstate.json",
        "%2Fetc%2Fpasswd",
        "walk.bvh%00",
        ".lock",
        "",
    ],
)
def test_no_way_out_of_the_results(client, done, name):
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as raw:
        path = f"/jobs/{done['id']}/files/{name}"
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert b" 404 " in answer.splitlines()[0]
    assert b"arguments" not in answer


@pytest.mark.parametrize("method", ["get", "delete"])
@pytest.mark.parametrize("job_id", ["0123456789abcdef", "%2e%2e", "%2e%2e%2f", "..%5c", "x" * 300])
def test_unknown_job_is_404(client, method, job_id):
    assert getattr(client, method)(f"/jobs/{job_id}").status_code == 404
    assert client.get("/jobs/0123456789abcdef").json() == {"detail": "there is no job '0123456789abcdef'"}


def test_upload_that_breaks_off_leaves_nothing(client, data, done):
    folders = set(data.iterdir())
    head = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n"
    head += "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    head += 'Content-Disposition: form-data; name="clip"; filename="a.mp4"\r\n\r\n0000ftyp'
    with socket.create_connection((client.base_url.host, client.base_url.port), timeout=10) as raw:
        raw.sendall(head.encode())
        end = time.monotonic() + 10
        while set(data.iterdir()) == folders and time.monotonic() < end:
            time.sleep(0.05)
        assert set(data.iterdir()) != folders
    while set(data.iterdir()) != folders and time.monotonic() < end:
        time.sleep(0.05)
    assert set(data.iterdir()) == folders


def test_pages_of_other_sites_are_refused(client, walk):
    files = {"clip": ("walk.npz", walk)}
    for origin in (
        "https://evil.example",
        "null",
        "http://[",
        f"http://localhost:{client.base_url.port + 1}",
    ):
        answer = client.post("/jobs", files=files, headers={"Origin": origin})
        assert answer.status_code == 403, origin
    assert client.get("/jobs", headers={"Host": "evil.example"}).status_code == 403
    own = {"Origin": str(client.base_url).rstrip("/")}
    job = client.post("/jobs", files=files, data=QUICK, headers=own)
    assert job.status_code == 202
    client.delete(f"/jobs/{job.json()['id']}", headers=own)


# -------------------------------------------------------------------------- the queue, cancel, restart


def test_queue_is_bounded_and_jobs_can_be_cancelled(tmp_path, walk, long_walk):
    with serving(tmp_path, "--max-queue", "1") as (_, client):
        first = send(client, long_walk).json()["id"]
        waited(client, first, has_begun)
        second = send(client, walk).json()["id"]
        full = send(client, walk)
        assert full.status_code == 503
        assert "retry-after" in full.headers
        assert client.delete(f"/jobs/{second}").json()["state"] == "cancelled"
        third = send(client, walk, **QUICK).json()["id"]
        began = time.monotonic()
        assert client.delete(f"/jobs/{first}").json()["state"] == "cancelled"
        assert time.monotonic() - began < 10
        assert finished(client, third)["state"] == "done"
        assert client.get(f"/jobs/{first}").json()["state"] == "cancelled"
        assert client.get(f"/jobs/{second}").json()["started"] is None


def children(process: subprocess.Popen) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == process.pid:
            found.append(int(stat.parent.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_ctrl_c_ends_the_run_and_a_restart_begins_it_again(tmp_path, long_walk, walk):
    with serving(tmp_path) as (process, client):
        running = send(client, long_walk, **QUICK).json()["id"]
        waiting = send(client, walk, **QUICK).json()["id"]
        waited(client, running, has_begun)
        (child,) = children(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert not is_alive(child)
    with serving(tmp_path) as (_, client):
        assert [j["id"] for j in client.get("/jobs").json()] == [waiting, running]
        assert isinstance(waited(client, running, has_begun)["done"], int)
        assert client.get(f"/jobs/{waiting}").json()["state"] == "queued"
        client.delete(f"/jobs/{running}")
        assert finished(client, waiting)["state"] == "done"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_killed_run_is_reported_and_termination_stops_the_next(tmp_path, long_walk):
    with serving(tmp_path) as (process, client):
        killed = send(client, long_walk).json()["id"]
        waited(client, killed, has_begun)
        (child,) = children(process)
        os.kill(child, signal.SIGKILL)
        assert "SIGKILL (out of memory?)" in finished(client, killed)["error"]
        following = send(client, long_walk).json()["id"]
        waited(client, following, has_begun)
        (child,) = children(process)
        process.terminate()
        assert process.wait(timeout=30) == -signal.SIGTERM
        assert not is_alive(child)


def test_restart_takes_up_what_ended_and_clears_what_never_came(tmp_path, client, data, done):
    before = client.get(f"/jobs/{done['id']}").json()
    shutil.copytree(data / done["id"], tmp_path / done["id"])
    half, broken = tmp_path / ("a" * 16), tmp_path / ("b" * 16)
    (half / "input").mkdir(parents=True)
    (half / "input" / "half.mp4").write_bytes(b"x")
    broken.mkdir()
    (broken / "state.json").write_text('{"id": ')
    (tmp_path / "holiday").mkdir()
    with serving(tmp_path) as (_, client):
        jobs = {j["id"]: j for j in client.get("/jobs").json()}
        assert jobs.pop(before["id"]) == before
        assert list(jobs) == [broken.name]
        assert "state.json cannot be read" in jobs[broken.name]["error"]
        assert client.delete(f"/jobs/{broken.name}").status_code == 200
        assert not broken.exists()
    assert not half.exists()
    assert (tmp_path / "holiday").is_dir()


def test_two_servers_do_not_share_a_folder_or_a_port(tmp_path):
    from posewright.cli import run_command_line

    with serving(tmp_path) as (_, client):
        assert run_command_line(["serve", "--port", "0", "--data", str(tmp_path)]) == 1
        taken = ["serve", "--port", str(client.base_url.port), "--data", str(tmp_path / "b")]
        assert run_command_line(taken) == 1


# ------------------------------------------------------------------------------------------- in pieces


def test_contract_fields_are_options_of_run():
    import typer

    from posewright.cli import options as o
    from posewright.cli.app import app
    from posewright.io.formats import FORMATS
    from posewright.server import fields

    enums = {
        "mode": o.Mode,
        "person_order": o.PersonOrder,
        "camera": o.CameraMotion,
        "smooth": o.Smoothing,
        "foot_lock": o.FootLock,
        "body": o.Body,
        "body_detail": o.BodyDetail,
    }
    assert {n: tuple(e) for n, e in enums.items()} == fields.CHOICES
    assert {f".{f}" for f in fields.FORMATS} <= set(FORMATS)
    run = typer.main.get_command(app).commands["run"]
    known = {option for parameter in run.params for option in parameter.opts}
    examples = {"formats": "bvh", "image_size": "1920x1080", "overlay": "no", "report": "no", "fov": "60"}
    for name in fields.FIELDS:
        value = examples.get(name) or (fields.CHOICES[name][0] if name in fields.CHOICES else "2")
        option, *_ = fields.arguments_of({name: value})
        assert option in known


def test_full_disk_is_507_and_leaves_nothing(tmp_path, walk, monkeypatch):
    import asyncio
    import errno

    from posewright.server import app, uploads

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    async def upload():
        transport = httpx.ASGITransport(app.create_app(app.Settings(tmp_path)))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answer = await client.post("/jobs", files={"clip": ("walk.npz", walk)})
            return answer, await client.get("/jobs")

    monkeypatch.setattr(uploads._Form, "_data", full)
    answer, jobs = asyncio.run(upload())
    assert answer.status_code == 507
    assert "disk is full" in answer.json()["detail"]
    assert jobs.json() == []
    assert [p.name for p in tmp_path.iterdir()] == [".server"]


def test_missing_package_names_the_extra(monkeypatch, capsys):
    from posewright.cli import run_command_line

    for name in [m for m in sys.modules if m.startswith("posewright.server")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert run_command_line(["serve", "--port", "0"]) == 1
    assert "pip install 'posewright[serve]'" in capsys.readouterr().err


def test_help_does_not_load_the_server():
    code = (
        "import sys\nfrom posewright.cli import run_command_line\nrun_command_line(['serve', '--help'])\n"
        "assert not {'fastapi', 'uvicorn', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_progress_lines_are_json(tmp_path, walk):
    (tmp_path / "walk.npz").write_bytes(walk)
    code = "from posewright.cli import main; main()"
    arguments = ["run", str(tmp_path / "walk.npz"), "-o", str(tmp_path / "out"), "--json", "--formats", "bvh"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "POSEWRIGHT_PROGRESS": "json"},
    )
    lines = [json.loads(line) for line in io.StringIO(done.stderr)]
    assert all(set(line) == {"stage", "done", "total"} for line in lines)
    assert [line["stage"] for line in lines][-1] == "report"
    assert json.loads(done.stdout)["people"] == 1
