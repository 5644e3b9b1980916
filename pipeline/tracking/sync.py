"""Sends the store what runs kept while it could not be reached."""

from collections.abc import Sequence

from filelock import Timeout

from gcl.errors import UserError
from pipeline.console import announce
from pipeline.tracking.journal import Event, Journal, pending_folder, pending_journals
from pipeline.tracking.store import KILLED, Store, first_line, tracking_uri, twice


def sync_tracking() -> None:
    """Replays every journal whose run is over. Events that the store already has change nothing in it.

    UserError, and nothing is lost, if the store does not answer or a journal cannot be replayed; the other journals
    are replayed all the same.
    """
    journals = pending_journals()
    if not journals:
        announce(f"nothing waits in {pending_folder()}")
    failed = [journal for journal in journals if not _brought_in(journal)]
    if failed:
        raise UserError(f"{len(failed)} of {len(journals)} runs could not be sent and are still kept where they were")


def _brought_in(journal: Journal) -> bool:
    """Replays a journal and removes it unless its run is still going on; False, with a message, if that failed."""
    store = _answering_store()
    done = False
    try:
        journal.lock(patience=0)
        _bring_in(store, journal)
        done = True
    except Timeout:
        announce(f"still going on, left for later: {journal.folder}")
        return True
    # A journal that is damaged, or that the store refuses for any reason, must not stop the others.
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
    announce(f"sent to the store: {beginning['name']}, {len(events)} events, {beginning['key']}")


def replay(store: Store, journal: Journal, events: Sequence[Event]) -> str:
    """Sends the store all ``events`` of the journal, of which it may already have some; returns the run's id there."""
    run_id = twice(lambda: store.begin(events[0]))
    for event in events:
        # A later stage that appended to the journal also recorded a beginning, which is not repeated.
        if event["kind"] != "run":
            twice(lambda event=event: store.add(run_id, event, journal.files(event)))
    return run_id
