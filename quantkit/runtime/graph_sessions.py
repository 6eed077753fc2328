"""A session for each graph of an artifact, and the states that go from run to run.

Free of the ``onnx`` package, as edge programs are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from quantkit.arrays import Array
from quantkit.errors import FormatError, ModelError
from quantkit.graph.roles import GRAPHS_KEY, GraphRole, roles_in, short_form
from quantkit.graph.translation import translations_in
from quantkit.runtime.errors import in_one_line
from quantkit.runtime.session import create_session
from quantkit.runtime.translated_session import TranslatedSession
from quantkit.runtime.widened_session import Session


class GraphSessions:
    """The graphs of one artifact, ready to run.

    Those that have the inputs and outputs of somebody's model answer like any others; see
    :class:`~quantkit.runtime.translated_session.TranslatedSession`.

    ::

        graphs = GraphSessions.load(Path("transducer.onnx"))
        states = graphs.states("predictor")
        made = graphs.run("predictor", {"tokens": tokens, **states})
        states = graphs.next_states("predictor", made)

    Args:
        roles: in the order of a run.
        sessions: by role.
        metadata: of the first graph.
    """

    def __init__(
        self,
        roles: tuple[GraphRole, ...],
        sessions: Mapping[str, Session],
        metadata: Mapping[str, str],
    ) -> None:
        self.roles = roles
        self.sessions = sessions
        self.metadata = metadata
        self._states = {role.role: role.states for role in roles}
        # Asked once: a text takes hundreds of runs.
        self._inputs = {
            role: frozenset(value.name for value in session.get_inputs())
            for role, session in sessions.items()
        }
        self._outputs = {
            role: tuple(value.name for value in session.get_outputs())
            for role, session in sessions.items()
        }

    @classmethod
    def load(cls, path: Path, threads: int = 1) -> GraphSessions:
        """Open all files of the artifact at ``path``, which were checked already.

        Args:
            threads: inside one operator; 0 takes all cores.

        Raises:
            ModelError: a file is missing or does not load, or the list of graphs is damaged.
        """
        first = create_session(path, threads=threads)
        metadata: Mapping[str, str] = first.get_modelmeta().custom_metadata_map
        sessions: dict[str, Session] = {}
        try:
            roles = roles_in(metadata)
            translations = translations_in(metadata)
            for role in roles:
                file = path.with_name(role.file) if role.file else path
                session = create_session(file, threads=threads) if sessions else first
                if translations is not None and translations.kept:
                    session = TranslatedSession(session, translations.of(role.role))
                sessions[role.role] = session
        except FormatError as error:
            raise ModelError(f"{path}: its quantkit metadata is damaged: {error}") from error
        if len(roles) > 1 and not metadata.get(GRAPHS_KEY):
            decoder = sessions[roles[1].role]
            outputs = [v.name for each in sessions.values() for v in each.get_outputs()]
            inputs = {value.name: value.shape for value in decoder.get_inputs()}
            roles = short_form(outputs, inputs, roles[1].file)
        return cls(roles, sessions, metadata)

    def states(self, role: str, batch: int = 1) -> dict[str, Array]:
        """First values of the states of a graph, by input name."""
        return {state.input: state.initial(batch) for state in self._states[role]}

    def run(self, role: str, feed: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs of a graph, by name.

        Args:
            feed: its inputs; what it does not take is left out.

        Raises:
            ModelError: ONNX Runtime fails.
        """
        taken, names = self._inputs[role], self._outputs[role]
        own = {name: values for name, values in feed.items() if name in taken}
        try:
            made = self.sessions[role].run(names, own)
        # ONNX Runtime's exceptions share no base class but Exception.
        except Exception as error:
            shapes = ", ".join(f"{name} {values.shape}" for name, values in own.items())
            raise ModelError(f"the {role} fails on {shapes}: {in_one_line(error)}") from error
        return dict(zip(names, made, strict=True))

    def next_states(self, role: str, made: Mapping[str, Array]) -> dict[str, Array]:
        """The states for the next run, by input name, of what :meth:`run` made."""
        return {state.input: made[state.output] for state in self._states[role]}
