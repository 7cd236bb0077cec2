"""DeepSpeed's universal checkpoints: what one number of ranks has left under ZeRO, in a form that another reads.

Source: Lian et al., Universal Checkpointing, 2024, as `deepspeed.checkpoint.ds_to_universal` does it.
"""

import argparse
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import deepspeed
import torch
import torch.distributed as dist
from deepspeed.checkpoint import ds_to_universal

FORM = "universal"  # the folder beside the checkpoints, while it is read


@contextmanager
def form(engine: deepspeed.DeepSpeedEngine, folder: Path, tag: str, rank: int) -> Iterator[str]:
    """The universal form of checkpoint `tag` of `folder`, by its tag; inside, `engine` reads that form.

    Collective. Buffers of the model are not in it.
    """
    if rank == 0:
        shutil.rmtree(folder / FORM, ignore_errors=True)
        ds_to_universal.main(argparse.Namespace(
            input_folder=str(folder / tag), output_folder=str(folder / FORM), num_extract_workers=1,
            num_merge_workers=1, keep_temp_folder=False, strict=True, inject_missing_state=True))
    dist.barrier()
    inner = engine.optimizer.optimizer
    decays = [group["weight_decay"] for group in inner.param_groups]
    engine._config.load_universal_checkpoint = True
    try:
        yield FORM
    finally:
        engine._config.load_universal_checkpoint = False
    for group, decay in zip(inner.param_groups, decays, strict=True):
        group["weight_decay"] = decay  # ZeRO 3 gives every group the settings of the first
    for state in inner.state.values():
        if isinstance(state.get("step"), torch.Tensor):
            state["step"] = state["step"].clone()  # ZeRO 3 gives every group the same counter, which each would raise
    dist.barrier()
    if rank == 0:
        shutil.rmtree(folder / FORM)
