"""The public REST API of what runs found in their data."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.identity import Scope
from training import selectors
from training.api.data_serializers import SourceReportSerializer


class RunData(APIView):
    """What a run found in its data."""

    required_scope = Scope.TRAIN

    @extend_schema(
        summary="Show a run's data: rows by part, split, bad rows",
        responses=SourceReportSerializer(many=True),
        operation_id="training_runs_data_list",
    )
    def get(self, request: Request, run_id: str) -> Response:
        """Answer one entry a source; none before the run has looked."""
        return Response(SourceReportSerializer(selectors.find_data_sources(selectors.get_run(run_id)), many=True).data)
