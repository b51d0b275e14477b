"""Settings from evaluation to production: evaluate, gate, registry, serve, schedule."""

from datetime import datetime
from typing import Annotated, Literal

from cronsim import CronSim, CronSimError
from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from decant.params.types import Block, Count, Folder, NonNegative, Seconds, Share, Timezone

CRON_FIELDS = 5


class Evaluate(Block):
    """One evaluation of every model on every group."""

    k: Count = 10
    latency_requests: Annotated[int, Field(ge=10)] = 300
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000


class Gate(Block):
    """Thresholds of the release gate."""

    margin: Share = 0.02
    min_deciding_users: Count = 50
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 10_000
    min_retention: NonNegative = 0.9
    min_group_retention: NonNegative = 0.8
    min_lift: Annotated[float, Field(ge=-1)] = 0.0
    min_group_lift: Annotated[float, Field(ge=-1)] | None = None
    min_size_ratio: NonNegative = 5.0
    min_latency_ratio: NonNegative = 2.0
    max_production_drop: Share = 0.02

    def without_effect(self) -> list[str]:
        """The thresholds that nothing can miss, as `name: value`."""
        least = {  # the lowest value that a figure can have
            "min_retention": 0.0,
            "min_group_retention": 0.0,
            "min_lift": -1.0,
            "min_size_ratio": 0.0,
            "min_latency_ratio": 0.0,
        }
        most = {"margin": 1.0, "max_production_drop": 1.0}
        off = [name for name, value in least.items() if getattr(self, name) <= value]
        off += [name for name, value in most.items() if getattr(self, name) >= value]
        return [f"{name}: {getattr(self, name):g}" for name in off]


class RegistryParams(Block):
    """Storage of the releases."""

    kind: Literal["local", "s3"] = "local"
    folder: Folder = "registry"
    bucket: str | None = None
    prefix: str = "decant"
    endpoint: str | None = None

    @model_validator(mode="after")
    def _s3_needs_a_bucket(self) -> "RegistryParams":
        if self.kind == "s3" and not self.bucket:
            raise ValueError("registry.bucket must be set when registry.kind is s3")
        return self


class Serve(Block):
    """Limits of the HTTP service on loading, request sizes and waiting times."""

    load_seconds: Seconds = 120.0
    load_memory_mb: Annotated[int, Field(ge=256, le=1_048_576)] = 4096
    max_events: Annotated[int, Field(ge=1, le=10_000)] = 1000
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    header_seconds: Seconds = 5.0
    body_seconds: Seconds = 15.0
    idle_seconds: Seconds = 75.0
    shutdown_seconds: Seconds = 10.0


class Schedule(Block):
    """Schedule of automatic runs of the retrain flow."""

    cron: str = "0 3 * * *"
    timezone: Timezone = "UTC"

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, cron: str) -> str:
        try:
            fields = len(cron.split())
            if fields != CRON_FIELDS:
                raise CronSimError(f"{fields} fields")
            CronSim(cron, datetime(2026, 1, 1))
        except CronSimError as error:
            raise ValueError(
                f"invalid cron expression `{cron}` ({str(error).lower()}): expected five fields, "
                "minute, hour, day, month, weekday, such as `0 3 * * *`"
            ) from None
        return cron
