"""Decodes a Perfetto trace with its published schema (PyPI package `perfetto`) and prints what is in it, a line for each
track and each event: for the test that compares it with what was encoded. Not here: any judgement."""

import sys

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import Trace, TrackEvent


def main(path):
    trace = Trace()
    with open(path, "rb") as file:
        trace.ParseFromString(file.read())
    names = {}
    for packet in trace.packet:
        if packet.HasField("track_descriptor"):
            track = packet.track_descriptor
            names[track.uuid] = track.name
            print("track", track.name, "of", names.get(track.parent_uuid, "nothing"), sep="|")
        if packet.HasField("track_event"):
            event = packet.track_event
            kind = TrackEvent.Type.Name(event.type)
            flows = [*event.flow_ids, *(-flow for flow in event.terminating_flow_ids)]
            print(kind, packet.timestamp, names[event.track_uuid], event.name, *flows, sep="|")


main(sys.argv[1])
