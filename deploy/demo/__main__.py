"""`make demo`: train, deploy, predict, learn the truth, drift, alert, retrain, promote; then say where to look."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from typing import Any

from rich.console import Console

from deploy.demo import loop
from deploy.demo.pictures import Pictures, load_pictures
from deploy.demo.platform import (
    ADMIN,
    DemoError,
    Platform,
    log_path,
    make_administrator,
    make_secrets,
    make_token,
    manage,
    poll,
)

CLEAN = 200  # pictures
console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Tell the story; then serve until Ctrl-C, or end at once where nobody watches."""
    options = _options()
    bind = os.environ.get("BIND", "127.0.0.1:8000")
    os.environ.setdefault("ALERT_INTERVAL_S", "2")
    loop.store_everything()
    started_s = time.monotonic()
    platform = Platform(bind)
    try:
        _tell(platform, options, started_s)
        if options.keep:
            console.print("\n[bold]The platform runs until you press Ctrl-C.[/bold]")
            platform.wait()
        else:
            console.print("\nNobody watches here, so the platform is stopped again; [bold]make serve[/bold] starts it.")
    except KeyboardInterrupt:
        console.print("\nstopping ...")
    except DemoError as error:
        console.print(f"[red]{error}[/red]")
        return 1
    finally:
        platform.stop()
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--data", default="digits", help="digits, mnist, or the path of a data set of images")
    parser.add_argument("--epochs", type=int, help="default: 12 for digits, 5 for anything else")
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument("--keep", action="store_true", default=sys.stdout.isatty(), help="go on serving afterwards")
    keep.add_argument("--exit", dest="keep", action="store_false", help="stop afterwards")
    return parser.parse_args()


def _tell(platform: Platform, options: argparse.Namespace, started_s: float) -> None:
    if made := make_secrets():
        loop.say(f"There are no secrets yet: {made}")
    loop.say("Bringing the database up to date")
    manage("migrate", "--verbosity", "0")
    password, token = make_administrator(), make_token("demo", ["admin"], expires="1d")
    platform.use_token(token)
    platform.start()
    model = "digits" if options.data == "digits" else "mnist"
    version = _train(options, model)
    platform.wait_until_live()
    platform.wait_until_serving(model, version)
    pictures = load_pictures(options.data)
    accuracy = _predict_and_tell_the_truth(platform, model, version, pictures)
    loop.set_policy(platform, model)
    loop.show_bad_challenger(platform, model, pictures, data=options.data, folder=log_path().parent / "demo")
    promoted = loop.show_retraining(platform, model, version, pictures)
    _where_to_look(platform, password, token, model, promoted, pictures)
    loop.say(f"Done in {time.monotonic() - started_s:.0f} s; test pictures answered right: {accuracy:.1%}")


def _train(options: argparse.Namespace, model: str) -> int:
    epochs = options.epochs or (12 if options.data == "digits" else 5)
    loop.say(f"Training a convolutional network on {options.data}, {epochs} epochs; it will be registered and deployed")
    arguments = ["train", "run", "keras_cnn", "--data", options.data, "--name", model, "--set", f"epochs={epochs}"]
    manage(*arguments, "--deploy", "--wait", capture=False)
    return int(json.loads(manage("models", "show", model, "--json"))["version"])


def _predict_and_tell_the_truth(platform: Platform, model: str, version: int, pictures: Pictures) -> float:
    loop.say(f"Sending {CLEAN} pictures that it has not seen, and telling it the truth about them")
    items, right, latencies_ms = [], 0, []
    for image, label in pictures.clean(CLEAN):
        sent_s = time.perf_counter()
        said, prediction_id = platform.predict(model, image, pictures.labels)
        latencies_ms.append((time.perf_counter() - sent_s) * 1000)
        right += said == label
        items.append({"prediction_id": prediction_id, "label": label})
    platform.post("/api/monitoring/feedback/", {"items": items})
    path = f"/api/monitoring/reports/?endpoint={model}&version={version}&period_s=3600"

    def is_known() -> bool:
        report = platform.find(path)  # there is none before the first predictions have arrived
        return report is not None and bool(report["accuracy"]["labelled"] >= CLEAN)

    poll(is_known, within_s=30, what="monitoring knows the labels")
    median_ms = sorted(latencies_ms)[len(latencies_ms) // 2]
    console.print(
        f"  right: {right} of {CLEAN}; median {median_ms:.1f} ms a request, through token, limits and recording"
    )
    return right / CLEAN


def _where_to_look(
    platform: Platform, password: str, token: str, model: str, promoted: dict[str, Any], pictures: Pictures
) -> None:
    picture = pictures.save_one(log_path().parent / "demo")
    console.rule("Where to look")
    console.print(f"  admin        {platform.url}/admin/          user {ADMIN}, password {password}")
    console.print(f"  playground   {platform.url}/playground/     draw a digit")
    console.print(f"  timeline     {platform.url}/admin/monitoring/rollout/timeline/{model}/   all of this on one page")
    console.print(
        f"  rollout      {platform.url}/admin/monitoring/rollout/{promoted['id']}/change/   each gate's evidence"
    )
    console.print(f"  report       {platform.url}/admin/monitoring/report/{model}/{promoted['challenger']}/")
    console.print(f"  API docs     {platform.url}/api/docs/")
    console.print("  a prediction:")
    console.print(
        f"  curl -H 'Authorization: Bearer {token}' -F image=@{picture} {platform.url}/v1/models/{model}:predict",
        soft_wrap=True, markup=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
