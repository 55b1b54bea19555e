"""The console's pages of statistics open, show what was measured, and bear having no data."""

from __future__ import annotations

import pytest
from django.contrib.auth import get_user_model
from django.template.loader import render_to_string
from django.test import Client

from aiplatform.contracts.monitoring import FeedbackItem
from monitoring.feedback import record_feedback
from monitoring.ingestion import record_predictions
from monitoring.models import PredictionBlock, ReportSchedule
from monitoring.models.alerts import Channel
from monitoring.reports.overview import overview_panel
from tests.monitoring.factories import make_batch, now

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(db: None) -> Client:
    """Return a client logged in as an administrator."""
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("ada", "ada@example.org", "a-long-password"))
    return client


@pytest.fixture
def recorded(db: None) -> None:
    """Record 150 predictions, one of them labelled."""
    record_predictions(
        batches=[make_batch(150, time=now(), ids=[f"p{i}" for i in range(150)], numeric={"size": range(150)})]
    )
    record_feedback(items=[FeedbackItem(prediction_id="p0", label="1", source="desk")])


def test_the_report_page_shows_verdict_charts_and_labels(staff: Client, recorded: None) -> None:
    page = staff.get("/admin/monitoring/report/digits/1/").content.decode()
    assert "Not enough data to judge" in page
    assert page.count("<console-chart") >= 3
    assert "no baseline" in page
    assert "Confusion matrix" in page


@pytest.mark.parametrize("period_s", [900, 86400, 604800])
def test_the_report_page_covers_other_periods(staff: Client, recorded: None, period_s: int) -> None:
    assert staff.get(f"/admin/monitoring/report/digits/1/?period_s={period_s}").status_code == 200


def test_a_period_that_makes_no_sense_leads_back(staff: Client, recorded: None) -> None:
    for period in ("soon", "1", "nan"):
        assert staff.get(f"/admin/monitoring/report/digits/1/?period_s={period}").status_code == 302


def test_a_version_without_predictions_says_so(staff: Client) -> None:
    answer = staff.get("/admin/monitoring/report/nobody/7/")
    assert answer.status_code == 404
    assert "Nothing to report yet" in answer.content.decode()


def test_the_list_names_each_version(staff: Client, recorded: None) -> None:
    page = staff.get("/admin/monitoring/report/").content.decode()
    assert "digits version 1" in page
    assert "/admin/monitoring/report/digits/1/" in page


def test_the_list_bears_having_nothing(staff: Client) -> None:
    assert "No predictions in the last day" in staff.get("/admin/monitoring/report/").content.decode()


def test_a_prediction_is_found_by_its_id_with_its_truth(staff: Client, recorded: None) -> None:
    page = staff.get("/admin/monitoring/report/find/?id=p0", follow=True).content.decode()
    assert "Prediction p0" in page
    assert "desk" in page
    assert "digits-model version 1" in page


def test_an_unknown_prediction_leads_back_with_a_message(staff: Client) -> None:
    assert (
        "No prediction &#x27;nobody&#x27;"
        in staff.get("/admin/monitoring/report/find/?id=nobody", follow=True).content.decode()
    )


def test_the_tables_of_predictions_and_feedback_open_and_cannot_be_edited(staff: Client, recorded: None) -> None:
    for name in ("prediction", "feedback"):
        assert staff.get(f"/admin/monitoring/{name}/").status_code == 200
        assert staff.get(f"/admin/monitoring/{name}/add/").status_code == 403
    key = PredictionBlock.objects.get().pk
    assert staff.post(f"/admin/monitoring/prediction/{key}/delete/").status_code == 403


def test_the_list_of_predictions_is_paged_filtered_and_shows_the_truth(staff: Client, recorded: None) -> None:
    page = staff.get("/admin/monitoring/prediction/").content.decode()
    assert page.count("/change/") == 50 and "Older predictions" in page
    assert staff.get("/admin/monitoring/prediction/?q=p0").content.decode().count("/change/") == 1
    assert staff.get("/admin/monitoring/prediction/?endpoint=digits&label=7").content.decode().count("/change/") == 50
    for query in ("q=nobody", "endpoint=nobody", "version=9", "label=x"):
        assert "No such prediction" in staff.get(f"/admin/monitoring/prediction/?{query}").content.decode()
    start = PredictionBlock.objects.get().pk
    rest = staff.get(f"/admin/monitoring/prediction/?start={start}.140").content.decode()
    assert rest.count("/change/") == 10 and "Older predictions" not in rest


@pytest.mark.parametrize("start", ["x", "1", "1.x", "9" * 40 + ".1", "-1.0", "1.-1"])
def test_a_place_in_the_list_that_makes_no_sense_is_its_beginning(staff: Client, recorded: None, start: str) -> None:
    assert staff.get(f"/admin/monitoring/prediction/?start={start}").content.decode().count("/change/") == 50


def test_an_unknown_predictions_page_is_not_there(staff: Client, recorded: None) -> None:
    assert staff.get("/admin/monitoring/prediction/nobody/change/").status_code == 404


def test_a_schedule_offers_only_channels_that_can_carry_a_report(staff: Client) -> None:
    Channel.objects.create(name="ops", url="json://localhost")
    alertmanager = Channel.objects.create(name="am", kind="alertmanager", url="http://127.0.0.1:9093")
    page = staff.get("/admin/monitoring/reportschedule/add/").content.decode()
    assert ">ops</option>" in page
    assert ">am</option>" not in page
    form = {"name": "daily", "endpoint": "digits", "version_scope": "serving", "period": "day", "time_zone": "UTC"}
    answer = staff.post("/admin/monitoring/reportschedule/add/", {**form, "channels": [alertmanager.pk]})
    assert (
        "reports go to channels of kind apprise only: &#x27;am&#x27; is of kind alertmanager" in answer.content.decode()
    )
    assert not ReportSchedule.objects.exists()


def test_someone_not_logged_in_sees_nothing(recorded: None) -> None:
    assert Client().get("/admin/monitoring/report/digits/1/").status_code == 302


def test_the_panel_shows_each_version_in_use(recorded: None) -> None:
    assert "digits version 1" in render_to_string("monitoring/reports/panel.html", overview_panel())


def test_the_panel_bears_having_nothing() -> None:
    assert "No predictions" in render_to_string("monitoring/reports/panel.html", overview_panel())
