"""Response times of periodic tasks on one core, by SimSo, an independent simulator.

Reads {"horizon": H, "sets": [[[C, T], ...], ...]} from standard input, in cycles, and writes for each set and each of the
schedulers EDF and RM the response times of every task's jobs that ended within the horizon: {"edf": [...], "rm": [...]}.

With the name of one of SimSo's own files it runs that, and writes the response times of each of its tasks: {"T1": [...], ...}.
"""

import json
import sys

from simso.configuration import Configuration
from simso.core import Model

SCHEDULERS = {"edf": "simso.schedulers.EDF_mono", "rm": "simso.schedulers.RM_mono"}


def responses(tasks, scheduler, horizon):
    """The response times of each task's jobs, in the order of their releases."""
    configuration = Configuration()
    configuration.cycles_per_ms = 1
    configuration.duration = horizon
    for number, (work, period) in enumerate(tasks):
        configuration.add_task(
            name=f"t{number}",
            identifier=number,
            period=period,
            activation_date=0,
            wcet=work,
            deadline=period,
            abort_on_miss=False,
        )
    configuration.add_processor(name="core", identifier=0)
    configuration.scheduler_info.clas = scheduler
    return list(run(configuration).values())


def run(configuration):
    """The response times of each task's jobs by its name, in the order of their releases."""
    configuration.check_all()
    model = Model(configuration)
    model.run_model()
    ended = {}
    for task in model.results.tasks:
        jobs = [job for job in model.results.tasks[task].jobs if job.end_date is not None]
        ended[task.name] = [int(job.end_date - job.activation_date) for job in jobs]
    return ended


def main():
    if len(sys.argv) > 1:
        json.dump(run(Configuration(sys.argv[1])), sys.stdout)
        return
    asked = json.load(sys.stdin)
    horizon = asked["horizon"]
    answer = {word: [responses(tasks, clas, horizon) for tasks in asked["sets"]] for word, clas in SCHEDULERS.items()}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
