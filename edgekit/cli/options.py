"""Options that several commands share, with one wording each; some in groups that commands take whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from edgekit.verbs.boards import Reach

# ---------------------------------------------------------------- data

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        envvar="EDGEKIT_DATA",
        help="Dataset: file.npz, file.npy, file.csv, a folder of images in class folders, or module:function.",
    ),
]
Representative = Annotated[
    str | None, typer.Option("--representative", envvar="EDGEKIT_REPRESENTATIVE", help="Rows that calibrate.")
]
Evaluation = Annotated[
    str | None, typer.Option("--evaluation", envvar="EDGEKIT_EVALUATION", help="Rows that score, never trained on.")
]
Training = Annotated[
    str | None, typer.Option("--training", envvar="EDGEKIT_TRAINING", help="Rows that fine-tune (default: of --data).")
]
Scale = Annotated[str | None, typer.Option("--scale", envvar="EDGEKIT_SCALE", help="Multiply raw values, e.g. 1/255.")]
Mean = Annotated[
    str | None, typer.Option("--mean", envvar="EDGEKIT_MEAN", help="Then subtract: one value, or one per channel.")
]
Std = Annotated[
    str | None, typer.Option("--std", envvar="EDGEKIT_STD", help="Then divide: one value, or one per channel.")
]
Preprocess = Annotated[
    str | None,
    typer.Option("--preprocess", envvar="EDGEKIT_PREPROCESS", help="module:function applied to each raw sample."),
]
Metric = Annotated[
    str,
    typer.Option(
        "--metric",
        envvar="EDGEKIT_METRIC",
        help="auto, top-1, top-5, mse, mae, auc, agreement, or module:function(y_true, y_pred).",
    ),
]

# ---------------------------------------------------------------- models and results

Output_ = Annotated[Path | None, typer.Option("--output", "-o", envvar="EDGEKIT_OUTPUT", help="The file to write.")]
TrustModel = Annotated[
    bool,
    typer.Option("--trust-model", envvar="EDGEKIT_TRUST_MODEL", help="Run code inside the model file (Lambda layers)."),
]
NoCache = Annotated[bool, typer.Option("--no-cache", envvar="EDGEKIT_NO_CACHE", help="Make every step again.")]
MaxDrop = Annotated[
    float | None,
    typer.Option("--max-drop", envvar="EDGEKIT_MAX_DROP", min=0.0, help="Percentage points that may be lost."),
]
MaxSize = Annotated[
    str | None, typer.Option("--max-size", envvar="EDGEKIT_MAX_SIZE", help="Of the .tflite: 200kB, 1.5MB.")
]
MaxLatency = Annotated[
    str | None,
    typer.Option("--max-latency", envvar="EDGEKIT_MAX_LATENCY", help="Median on the board (--device): 5ms, 800us."),
]
MaxMemory = Annotated[
    str | None,
    typer.Option("--max-memory", envvar="EDGEKIT_MAX_MEMORY", help="Peak memory on the board (--device): 30MB."),
]
Custom = Annotated[
    list[str] | None,
    typer.Option("--custom", help="module:name of a layer, loss or activation of your own; may be repeated."),
]
AllowFloat = Annotated[
    bool, typer.Option("--allow-float-fallback", help="Accept float ops where full-integer was asked for.")
]

# ---------------------------------------------------------------- boards

Device = Annotated[
    str, typer.Option("--device", envvar="EDGEKIT_DEVICE", help="Name of a board: `edgekit devices list`.")
]
Devices = Annotated[
    str,
    typer.Option("--device", envvar="EDGEKIT_DEVICE", help="One board, or several side by side: pi4 or pi4,pi5."),
]
Host = Annotated[
    str | None,
    typer.Option("--host", envvar="EDGEKIT_HOST", help="Address to use instead: host, user@host, user@host:port."),
]
Port = Annotated[int | None, typer.Option("--port", envvar="EDGEKIT_PORT", min=1, max=65535, help="SSH port.")]
User = Annotated[str | None, typer.Option("--user", envvar="EDGEKIT_USER", help="User on the board.")]
IdentityFile = Annotated[
    Path | None, typer.Option("--identity-file", envvar="EDGEKIT_IDENTITY_FILE", help="Private key file.")
]
SshConfig = Annotated[Path | None, typer.Option("--ssh-config", envvar="EDGEKIT_SSH_CONFIG", help="As ssh's -F.")]
Wait = Annotated[
    float | None,
    typer.Option(
        "--wait",
        envvar="EDGEKIT_WAIT",
        metavar="SECONDS",
        min=0,
        help="Wait so long for a board that somebody else uses (inf: until it is free).",
    ),
]
Tune = Annotated[
    bool,
    typer.Option(
        "--tune", envvar="EDGEKIT_TUNE", help="Hold the board's clocks while it measures, and put them back afterwards."
    ),
]
NumThreads = Annotated[
    str | None,
    typer.Option(
        "--num-threads",
        envvar="EDGEKIT_NUM_THREADS",
        help="Threads of the interpreter: 1 or 1,2,4 (default: the profile's).",
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="Three processes: quick, and only indicative (--plan quick).")]
Plan = Annotated[str, typer.Option("--plan", envvar="EDGEKIT_PLAN", help="quick, standard or publish.")]
MaxTime = Annotated[
    float | None,
    typer.Option(
        "--max-time",
        metavar="SECONDS",
        min=0,
        help="No process is added after so long (default: as long again as the planned ones took).",
    ),
]
NumRuns = Annotated[
    int | None, typer.Option("--num-runs", min=1, help="Least number of measured runs per process (default 64).")
]
WarmupRuns = Annotated[
    int | None, typer.Option("--warmup-runs", min=1, help="Least number of warm-up runs per process (default 1).")
]
Runtime = Annotated[
    str,
    typer.Option(
        "--runtime",
        envvar="EDGEKIT_RUNTIME",
        help="auto, litert, native, ai_edge_litert, tflite_runtime, onnxruntime (.onnx only), benchmark_model.",
    ),
]

Runtimes = Annotated[
    str,
    typer.Option(
        "--runtime",
        envvar="EDGEKIT_RUNTIME",
        help="auto, or several side by side: litert, litert-builtin (its own kernels instead of XNNPACK's), native, "
        "ai_edge_litert, tflite_runtime, onnxruntime (.onnx only), benchmark_model.",
    ),
]
WeightCache = Annotated[
    bool, typer.Option("--weight-cache", help="Measure LiteRT with XNNPACK's packed weights in a file too.")
]

# ---------------------------------------------------------------- groups


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessingOptions:
    """What is done to raw values."""

    scale: Scale = None
    mean: Mean = None
    std: Std = None
    preprocess: Preprocess = None

    def arguments(self) -> dict[str, Any]:
        """As the verbs call them."""
        return {"scale": self.scale, "mean": self.mean, "std": self.std, "preprocess": self.preprocess}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Rows for each role."""

    data: Data = None
    representative: Representative = None
    evaluation: Evaluation = None
    training: Training = None

    def arguments(self) -> dict[str, Any]:
        """As the verbs call them."""
        return {
            "data": self.data,
            "representative": self.representative,
            "evaluation": self.evaluation,
            "training": self.training,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDataOptions:
    """Rows for a step that trains and calibrates nothing."""

    data: Data = None
    training: Training = None
    evaluation: Evaluation = None

    def arguments(self) -> dict[str, Any]:
        """As the verbs call them."""
        return {"data": self.data, "training": self.training, "evaluation": self.evaluation}


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningOptions:
    """Fine-tuning; None: the step's own default."""

    epochs: Annotated[int | None, typer.Option("--epochs", help="Of fine-tuning (default: by the rows).")] = None
    batch_size: Annotated[int | None, typer.Option("--batch-size", help="Rows per training step (64).")] = None
    optimizer: Annotated[str | None, typer.Option("--optimizer", help="adam, sgd, rmsprop or adamw.")] = None
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="Of the optimizer.")] = None
    loss: Annotated[str | None, typer.Option("--loss", help="Keras's name; default: the model's own.")] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Of shuffling and random layers.")] = None
    fine_tune: Annotated[
        str | None,
        typer.Option("--fine-tune", help="labels, or distill: from the original's outputs."),
    ] = None
    temperature: Annotated[float | None, typer.Option("--temperature", help="Of soft targets in distill (4).")] = None
    alpha: Annotated[float | None, typer.Option("--alpha", help="Weight of the soft targets in distill (0.7).")] = None

    def arguments(self) -> dict[str, Any]:
        """As the verbs call them: what was given."""
        given = {key: getattr(self, key) for key in self.__dataclass_fields__}
        return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetOptions:
    """What the result may cost beside accuracy, and what its steps paid."""

    max_size: MaxSize = None
    max_latency: MaxLatency = None
    max_memory: MaxMemory = None
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Make the result again without each step: what did it pay?")
    ] = False

    def arguments(self) -> dict[str, Any]:
        """As the verbs call them."""
        return {
            "max_size": self.max_size,
            "max_latency": self.max_latency,
            "max_memory": self.max_memory,
            "ablate": self.ablate,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MakingOptions:
    """What every command that makes a model takes."""

    output: Output_ = None
    metric: Metric = "auto"
    max_drop: MaxDrop = None
    trust_model: TrustModel = False
    custom: Custom = None
    no_cache: NoCache = False

    def arguments(self) -> dict[str, Any]:
        """As the verbs call them."""
        return {
            "custom": tuple(self.custom or ()),
            "output": self.output,
            "metric": self.metric,
            "max_drop": self.max_drop,
            "trust_model": self.trust_model,
            "use_cache": not self.no_cache,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOptions:
    """How to reach a board, beyond its name."""

    host: Host = None
    port: Port = None
    user: User = None
    identity_file: IdentityFile = None
    ssh_config: SshConfig = None
    wait: Wait = None

    def reach(self) -> Reach:
        """For the verbs; questions go to the terminal, if there is one."""
        from edgekit.cli.invocation import running_command
        from edgekit.cli.reaching import at_terminal
        from edgekit.verbs.boards import Reach

        return Reach(
            host=self.host,
            port=self.port,
            user=self.user,
            identity_file=self.identity_file,
            ssh_config=self.ssh_config,
            ask=at_terminal(),
            wait_s=self.wait,
            purpose=f"edgekit {running_command()}",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringBoardOptions(BoardOptions):
    """How to reach a board, and what it is like while it measures."""

    tune: Tune = False

    def reach(self) -> Reach:
        """As of every board."""
        import dataclasses

        return dataclasses.replace(BoardOptions.reach(self), tune=self.tune)
