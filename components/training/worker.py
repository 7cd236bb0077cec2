"""One rank of a training run, started by `launch.train` under torchrun: builds the task, trains, says why it failed."""

import importlib
import json
import os
import sys
import traceback
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from components.base.artifacts import file_digest, write_bytes, write_json
from components.base.errors import PipelineError, UserError, nearest
from components.training.agent import LAUNCH
from components.training.machines import meet
from components.training.spec import Plan, plan_from_json

if TYPE_CHECKING:
    from components.training.task import Task


def main(out: Path) -> None:
    """Trains the plan in the attempt's launch.json; on failure leaves error.json beside it and exits with 1."""
    folder = out / LAUNCH / os.environ["TORCHELASTIC_RUN_ID"]
    sys.modules["mlflow"] = None  # DeepSpeed's autotuner, unused here, would spend half of the start importing it
    try:
        _train(out, folder)
    except BaseException as error:
        traceback.print_exc()
        report(folder, error)
        sys.stderr.flush()
        os._exit(1)  # a rank that waits for this one would keep an orderly exit waiting too


def _train(out: Path, folder: Path) -> None:
    import deepspeed
    import torch
    import torch.distributed as dist
    from deepspeed.comm.torch import TorchBackend

    from components.training.engine import Trainer

    launch = json.loads((folder / "launch.json").read_text())
    plan = plan_from_json(launch["plan"])
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    (folder / f"rank{rank}").touch(exist_ok=False)  # an attempt is prepared for one start; torchrun is to make no other
    check_device(plan.device)
    timeout = timedelta(seconds=launch["timeout"])
    dist.init_process_group("nccl" if plan.device == "cuda" else "gloo", rank=rank, world_size=world,
                            store=meet(launch["endpoint"], folder.name, launch["timeout"]), timeout=timeout)
    # DeepSpeed's own groups would wait half an hour for a machine that is lost.
    TorchBackend.new_group = lambda self, ranks: dist.new_group(ranks, timeout=timeout)
    # DeepSpeed would compile a shared-memory collective on first use (a minute, a compiler, files outside the run).
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(verbose=False)  # takes up the group made above
    if plan.precision == "bf16_matmul" and torch.cpu._is_avx512_bf16_supported():
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    torch.manual_seed(plan.spec.seed)
    task = build(plan)
    with open(out / "progress.jsonl", "a", buffering=1) as stream:

        def emit(event: dict) -> None:
            if rank == 0:
                stream.write(json.dumps(event) + "\n")

        trainer = Trainer(task, plan, rank, world, out / "checkpoints", emit)
        trainer.train(launch["resume"])
        content = trainer.weights()
        if rank == 0:
            write_bytes(out / "student.safetensors", content)
            write_json(out / "config.json", task.artifacts())
            write_json(out / "done.json", {"plan": launch["key"], "steps": task.steps,
                                           "sha256": file_digest(out / "student.safetensors")})
            emit({"event": "done", "step": task.steps, "steps": task.steps})
    dist.destroy_process_group()


def check_device(device: str) -> None:
    """A run meant for the GPU must not train on the CPU without a word because a driver is broken."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("no usable GPU was found", where="device=cuda", mend="mend the driver, or set device to cpu")
    from deepspeed.accelerator import get_accelerator

    found = get_accelerator().device_name()
    if found != device:
        raise UserError(f"DeepSpeed chose '{found}'", where=f"device={device}")
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))


def build(plan: Plan) -> "Task":
    """Calls the function that the spec names; raises UserError where there is none."""
    module, _, name = plan.spec.task.partition(":")
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UserError(f"cannot import: {error}", where=f"training task {plan.spec.task}") from error
    function = getattr(found, name, None)
    if function is None:
        raise UserError(f"no function '{name}'", where=f"training task {plan.spec.task}",
                        mend=nearest(name, dir(found)))
    return function(**plan.spec.arguments)


def report(folder: Path, error: BaseException) -> None:
    """Writes why, once: the first rank to fail is the one whose reason matters."""
    if isinstance(error, UserError):
        reason = {"kind": "user", "what": error.what, "where": error.where, "mend": error.mend}
    elif isinstance(error, PipelineError):
        reason = {"kind": "pipeline", "what": str(error)}
    else:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        line = str(error).strip().splitlines()[:1]
        what = f"{type(error).__name__}: {line[0] if line else ''} ({Path(frame.filename).name}:{frame.lineno})"
        reason = {"kind": "crash", "what": what}
    try:
        with open(folder / "error.json", "x") as stream:
            json.dump(reason, stream)
    except OSError:
        traceback.print_exc()  # a full disk, another rank was first, or another attempt has begun: the log has it


if __name__ == "__main__":
    main(Path(sys.argv[1]))
