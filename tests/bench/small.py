"""The check that finds nothing new, the idle server, and the first word of the command line."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.bench import results
from tests.bench.measure import BIN, environment, run, serving
from tests.bench.proxy import CountingProxy, listening_to_packets


def measure_small_things() -> None:
    """Measure all, and keep it."""
    scratch = results.scratch() / "small"
    shutil.rmtree(scratch, ignore_errors=True)
    hub, node, tree = scratch / "hub", scratch / "node", scratch / "tree"
    tree.mkdir(parents=True)
    (tree / "page.html").write_text("<title>A page</title><p>Some words.")
    run("alforja-hub", "--home", str(hub), "init", "--publisher", "bench")
    run("alforja-hub", "--home", str(hub), "import", str(tree), "--course", "small")
    run("alforja-hub", "--home", str(hub), "publish", "small")
    with serving(hub) as port:
        home = ("--home", str(node))
        root = hub / "repository" / "trust" / "1.root.json"
        run("alforja-node", *home, "init", "--root", str(root), "--source", f"http://127.0.0.1:{port}")
        run("alforja-node", *home, "subscribe", "bench/small")
        run("alforja-node", *home, "sync")
        run("alforja-node", *home, "sync")
        with CountingProxy(port) as proxy:
            run("alforja-node", *home, "sync", "--source", proxy.url)
            count = proxy.count
        with listening_to_packets(port) as heard:
            run("alforja-node", *home, "sync")
    times = sorted(run("alforja-node", "--help").wall_s for _ in range(10))
    found = {
        "up": count.up, "down": count.down, "requests": len(count.bodies), "heard": heard,
        "idle_mib": idle_memory(node), "help_s": [times[0], times[5]], "code": results.code_digest(),
        "commit": results.commit(),
    }  # fmt: skip
    results.put("small", "things", found)
    shutil.rmtree(scratch)


def idle_memory(node: Path) -> float:
    """Resident memory of a serving node after a few pages, in MiB."""
    ports = ("--host", "127.0.0.1", "--port", "0", "--content-port", "0")
    command = [str(BIN / "alforja-node"), "--home", str(node), "serve", *ports]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment()
    ) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://\S+", process.stdout.readline())
            assert address
            for _ in range(20):
                subprocess.run(["curl", "-s", "-o", os.devnull, address[0]], check=True)
            status = Path(f"/proc/{process.pid}/status").read_text()
            return int(re.findall(r"VmRSS:\s+(\d+)", status)[0]) / 1024
        finally:
            process.terminate()
            process.wait()
