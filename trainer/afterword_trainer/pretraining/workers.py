"""Training on several machines at once, through `tf.distribute`.

Each worker reads its own share of the streams; loss and gradients are averaged over all of them
before each update, so that all hold the same weights and the run is the one that a single machine
would have made. Knows nothing of files: who writes them is the caller's business.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from afterword_trainer import records
from afterword_trainer.network import Tensor
from afterword_trainer.training import Arrays, Progress, Training


class Team:
    """The workers that TF_CONFIG names; each makes the same calls in the same order."""

    def __init__(self, index: int) -> None:
        """Meet the others; before TensorFlow's first operation. `index` 0 is the chief.

        Waits for those who are not there yet. Raises records.TrainingError where nobody can be.
        """
        try:
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise records.TrainingError(
                f"worker {index} cannot meet the others ({reason}); correct TF_CONFIG, and start "
                "all of them again"
            ) from error
        self.size = int(self._strategy.num_replicas_in_sync)
        self.index = index
        self._sum = tf.function(self._sum_in_graph, autograph=False)

    def sum(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Each value summed over the workers."""
        return list(self._sum(tuple(values)))

    def from_chief(self, data: bytes) -> bytes:
        """The chief's `data`, at every worker; the others' is of no account."""
        data = b"" if self.index else data
        (size,) = self.sum([tf.constant(len(data))])
        if not size:
            return b""  # TensorFlow crashes where nothing is summed
        words = np.zeros((int(size) + 3) // 4, np.int32)  # zeros, so that the sum is the chief's
        words.view(np.uint8)[: len(data)] = np.frombuffer(data, np.uint8)
        (summed,) = self.sum([tf.constant(words)])
        return np.asarray(summed).tobytes()[: int(size)]

    def _sum_in_graph(self, values: tuple[Tensor, ...]) -> Any:
        def at_each(*values: Tensor) -> Any:
            placed = [tf.identity(value) for value in values]  # on this worker's device
            return tf.distribute.get_replica_context().all_reduce("SUM", placed)

        return self._strategy.run(at_each, args=values)


class WorkersTraining(Training):
    """One worker's part of a run.

    The plan has to be told in epochs: clocks differ, and everyone must make the same steps.
    """

    def __init__(self, *arguments: Any, team: Team, **options: Any) -> None:
        """As `Training`. Raises ValueError if the streams cannot be shared out."""
        self._team = team
        super().__init__(*arguments, **options)
        if self.recipe.epochs is None:
            raise ValueError("several workers need a plan in epochs")

    def train(
        self,
        *,
        interrupted: Callable[[], bool],
        save: Callable[[], None],
        sample: Callable[[], tuple[str, str]],
    ) -> Iterator[records.Record]:
        """As `Training.train`; all workers stop when one is interrupted.

        Raises records.TrainingError if one of them is gone.
        """

        def any_interrupted() -> bool:
            (n_interrupted,) = self._team.sum([tf.constant(float(interrupted()))])
            return float(n_interrupted) > 0

        try:
            yield from super().train(interrupted=any_interrupted, save=save, sample=sample)
        except tf.errors.OpError as error:
            raise records.TrainingError(
                f"worker {self._team.index} lost the others ({type(error).__name__}); start all "
                "of them again, and they go on from the last checkpoint"
            ) from error

    def arrays(self) -> Arrays:
        """As `Training.arrays`, with the states of all workers' streams: for one worker or ten."""
        whole = np.zeros(self.network.spec.state_shape(self.streams), np.float32)
        whole[:, self._rows] = self._state
        (summed,) = self._team.sum([tf.constant(whole)])
        return super().arrays() | {"state": np.asarray(summed)}

    def restore(self, arrays: Arrays, progress: Progress) -> None:
        """Go on from a checkpoint that any number of workers wrote."""
        super().restore(arrays | {"state": arrays["state"][:, self._rows]}, progress)

    def _own_rows(self) -> slice:
        if self.streams % self._team.size:
            raise ValueError(f"{self._team.size} workers cannot share out {self.streams} streams")
        n_rows = self.streams // self._team.size
        return slice(self._team.index * n_rows, (self._team.index + 1) * n_rows)

    def _averaged(self, loss: Tensor, gradients: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients]
        loss, *gradients = self._team.sum([loss, *dense])
        return loss / self._team.size, [gradient / self._team.size for gradient in gradients]
