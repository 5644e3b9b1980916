"""What runs kept while their tracking store was away -> the store."""

from collections.abc import Sequence

from filelock import Timeout

from gcl.errors import UserError
from pipeline.console import announce
from pipeline.tracking.journal import Event, Journal, pending_folder, pending_journals
from pipeline.tracking.store import KILLED, Store, first_line, tracking_uri, twice


def sync_tracking() -> None:
    """Brings in every journal whose run is over. Events that the store has already change nothing in it.

    UserError, and nothing lost, if the store does not answer or a journal cannot be brought in; the others are.
    """
    journals = pending_journals()
    if not journals:
        announce(f"nothing waits in {pending_folder()}")
    failed = [journal for journal in journals if not _brought_in(journal)]
    if failed:
        raise UserError(f"{len(failed)} of {len(journals)} runs could not be brought in, and wait where they are")


def _brought_in(journal: Journal) -> bool:
    """Whether nothing is left to do for now; else says why."""
    store = _answering_store()
    done = False
    try:
        journal.lock(patience=0)
        _bring_in(store, journal)
        done = True
    except Timeout:
        announce(f"still going on, left for later: {journal.folder}")
        return True
    # One damaged journal, or one that the store refuses for whatever reason, must not keep out the others.
    except Exception as error:
        announce(f"error: {journal.folder}: {first_line(error)}")
    finally:
        journal.close(done)
    return done


def _answering_store() -> Store:
    try:
        store = Store()
        store.answer()
    except Exception as error:
        raise UserError(
            f"{tracking_uri()}: {first_line(error)}\nThe runs stay in {pending_folder()}; try again once it answers."
        ) from error
    return store


def _bring_in(store: Store, journal: Journal) -> None:
    events = journal.events()
    if not events:
        return
    beginning, last = events[0], events[-1]
    if last["kind"] != "end":
        events.append({"kind": "end", "time": last["time"], "status": KILLED})
    replay(store, journal, events)
    announce(f"brought in: {beginning['name']}, {len(events)} events, {beginning['key']}")


def replay(store: Store, journal: Journal, events: Sequence[Event]) -> str:
    """Tells the store all ``events`` of the journal, of which it may have some already; the run's id there."""
    run_id = twice(lambda: store.begin(events[0]))
    for event in events:
        # A later stage that appended to the journal began as well.
        if event["kind"] != "run":
            twice(lambda event=event: store.add(run_id, event, journal.files(event)))
    return run_id
