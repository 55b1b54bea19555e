"""The actions of `manage.py train` that are about searches."""

from __future__ import annotations

import json
from typing import Any

from aiplatform.management.platform_command import PlatformCommand
from training import selectors
from training.cli import exit_codes, searching
from training.cli.actor import command_line_actor
from training.cli.arguments import absolute_data_uri, read_parameters
from training.cli.resources import read_resources
from training.cli.streams import raw_stream
from training.models import Run, Search, Trial
from training.searching.orders import SearchOrder, cancel_search, create_search, register_winner, resume_search
from training.states import SearchState

_SEARCH_OPTIONS = ("space", "seed", "trials", "parallel", "sampler", "pruner", "metric", "goal")


class SearchActions(PlatformCommand):
    """What a command does with searches, and how it writes a record."""

    def _after_order(self, run: Run, *, as_json: bool, wait: bool) -> int:
        raise NotImplementedError

    def _search(self, *, as_json: bool, wait: bool, **options: Any) -> int:
        order = SearchOrder(
            recipe=options["recipe"],
            data_uri=absolute_data_uri(options["data"]),
            model_name=options["name"],
            target=options["target"],
            parameters=read_parameters(options),
            actor=command_line_actor(),
            resources=read_resources(options),
            **{name: options[name] for name in _SEARCH_OPTIONS},
        )
        return self._follow_search(create_search(order), as_json=as_json, wait=wait)

    def _search_resume(self, *, search: str, trials: int | None, as_json: bool, wait: bool, **options: Any) -> int:
        resumed = resume_search(selectors.get_search(search), trials=trials, actor=command_line_actor())
        return self._follow_search(resumed, as_json=as_json, wait=wait)

    def _follow_search(self, search: Search, *, as_json: bool, wait: bool) -> int:
        if as_json:
            self._write_json({"event": "search", **searching.search_record(search)})
        else:
            self.stdout.write(f"search {search.short_id}: {search.trials_wanted} trials, {search.sampler}")
        if not wait:
            if not as_json:
                self.stdout.write(f"look at it with: manage.py train search-show {search.short_id}")
            return exit_codes.SUCCEEDED

        def tell(trial: Trial) -> None:
            if as_json:
                self._write_json({"event": "trial", **searching.trial_record(trial)})
            else:
                self.stdout.write(searching.trial_line(search, trial))
            self.stdout.flush()

        try:
            ended = searching.SearchWaiter(search, tell).wait()
        except KeyboardInterrupt:
            self.stderr.write(f"the search goes on; end it with: manage.py train search-cancel {search.short_id}")
            return exit_codes.INTERRUPTED
        if as_json:
            self._write_json({"event": "end", **searching.search_record(ended)})
        else:
            self.stdout.write(searching.end_line(ended))
        return exit_codes.BY_SEARCH_STATE[SearchState(ended.state)]

    def _searches(self, *, limit: int, as_json: bool, **options: Any) -> None:
        searches = list(selectors.list_searches()[:limit])
        if not as_json:
            searching.write_searches(raw_stream(self.stdout), searches)
            return
        for search in searches:
            self._write_json(searching.search_record(search))

    def _search_show(self, *, search: str, as_json: bool, **options: Any) -> None:
        found = selectors.get_search(search)
        if as_json:
            self._write_json(searching.search_record(found))
        else:
            searching.write_search(raw_stream(self.stdout), found)

    def _search_cancel(self, *, search: str, as_json: bool, **options: Any) -> None:
        cancelled = cancel_search(selectors.get_search(search), actor=command_line_actor())
        if as_json:
            self._write_json(searching.search_record(cancelled))
        else:
            self.stdout.write(f"search {cancelled.short_id} is cancelled; its running trials stop after their step")

    def _search_register(self, *, search: str, deploy: str, as_json: bool, wait: bool, **options: Any) -> int:
        run = register_winner(selectors.get_search(search), deploy_endpoint=deploy, actor=command_line_actor())
        return self._after_order(run, as_json=as_json, wait=wait)

    def _write_json(self, record: dict[str, Any]) -> None:
        self.stdout.write(json.dumps(record, default=str))
