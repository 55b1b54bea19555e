"""The public view of the ledger: machines, who holds what there, and who waits why."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from aiplatform.identity import Scope
from training.resources.reporting import resource_record


class GpuStateSerializer(serializers.Serializer[Any]):
    """A device; `used_bytes` is what all processes hold of its memory."""

    index = serializers.IntegerField()
    uuid = serializers.CharField()
    name = serializers.CharField()
    memory_bytes = serializers.IntegerField()
    used_bytes = serializers.IntegerField()
    holders = serializers.ListField(child=serializers.CharField())


class HolderSerializer(serializers.Serializer[Any]):
    """A run, a version of an endpoint, or a serving process itself, with what it holds and has taken at its peak."""

    kind = serializers.ChoiceField(choices=["run", "endpoint", "serving"])
    name = serializers.CharField()
    run = serializers.UUIDField(allow_null=True)
    requester = serializers.CharField()
    cores = serializers.FloatField()
    memory_bytes = serializers.IntegerField()
    memory_limit_bytes = serializers.IntegerField(help_text="0: no limit of its own")
    limits = serializers.CharField(help_text="By what it is held: cgroup, watched, or empty: not known yet, or nothing")
    memory_peak_bytes = serializers.IntegerField()
    gpus = serializers.ListField(child=serializers.CharField(), help_text="UUIDs")
    gpu_memory_bytes = serializers.IntegerField()
    since = serializers.DateTimeField()


class ResourceHostSerializer(serializers.Serializer[Any]):
    """A place that trains. Of a cluster only its slots are known: its own scheduler knows the rest."""

    host = serializers.CharField()
    place = serializers.CharField()
    is_cluster = serializers.BooleanField()
    slots = serializers.IntegerField()
    cores = serializers.FloatField()
    cores_free = serializers.FloatField()
    memory_bytes = serializers.IntegerField()
    memory_free_bytes = serializers.IntegerField()
    limits = serializers.CharField(help_text="By what runs are held to their limits there, and why by nothing stricter")
    gpus = GpuStateSerializer(many=True)
    holders = HolderSerializer(many=True)
    seen_at = serializers.DateTimeField()


class WaitingRunSerializer(serializers.Serializer[Any]):
    """A run in the queue, at its place, and why it waits."""

    run = serializers.UUIDField()
    short_id = serializers.CharField()
    position = serializers.IntegerField()
    priority = serializers.IntegerField()
    requester = serializers.CharField()
    asks = serializers.CharField()
    queued_at = serializers.DateTimeField()
    reason = serializers.CharField()


class UsedShareSerializer(serializers.Serializer[Any]):
    """What someone has used lately, of whole machines, old use counted for less."""

    requester = serializers.CharField()
    machine_seconds = serializers.FloatField()


class ResourcesSerializer(serializers.Serializer[Any]):
    """The ledger at this moment."""

    hosts = ResourceHostSerializer(many=True)
    waiting = WaitingRunSerializer(many=True)
    used = UsedShareSerializer(many=True)


class ResourcesView(APIView):
    """What the machines have and who holds it."""

    required_scope = Scope.TRAIN

    @extend_schema(
        summary="Show the ledger of cores, memory and GPUs",
        responses=ResourcesSerializer,
        operation_id="training_resources_retrieve",
    )
    def get(self, request: Request) -> Response:
        """Answer machines, holders, the queue with reasons, and what was used lately."""
        return Response(ResourcesSerializer(resource_record()).data)
