"""HyperQueue's side, run by an interpreter that has it: a job of so many tasks that do nothing; prints JSON.

hyperqueued.py TASKS PROCESSORS    from handing in the job until its last task has ended; server and worker are up before
"""

import json
import sys
import time

from hyperqueue import Client, Job, LocalCluster  # type: ignore[import-not-found]  # it is in another environment
from hyperqueue.cluster import WorkerConfig  # type: ignore[import-not-found]  # as above


def main(words: list[str]) -> None:
    """Start server and worker, warm them with one task, measure."""
    tasks, processors = map(int, words)
    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=processors))
        client = cluster.client()
        _run(client, 1)
        began = time.perf_counter()
        finished = _run(client, tasks)
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "finished": finished}))  # noqa: T201 - what the caller reads


def _run(client: Client, tasks: int) -> int:
    """Run tasks to their end and tell how many there were; raises if one failed."""
    job = Job()
    for _ in range(tasks):
        job.program(["true"], stdout=None, stderr=None)
    submitted = client.submit(job)
    client.wait_for_jobs([submitted])
    return tasks


if __name__ == "__main__":
    main(sys.argv[1:])
