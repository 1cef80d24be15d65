//! A recording as a Perfetto trace: for each core a track of its slots and one of its turns, for each libOS a track with its
//! clients' beneath, and an arrow from each turn on a core to the client that had it.
//!
//! Not here: the encoding (`protobuf`). Field numbers are those of Perfetto's `protos/perfetto/trace`: `trace.proto`,
//! `trace_packet.proto`, `track_event/track_descriptor.proto` and `track_event/track_event.proto`. Times are in nanoseconds since
//! the first slot began.

use super::nanoseconds;
use super::protobuf::Message;
use crate::recording::Recording;

/// `Trace.packet`.
const PACKET: u32 = 1;
/// `TracePacket.timestamp`.
const TIMESTAMP: u32 = 8;
/// `TracePacket.trusted_packet_sequence_id`: all packets are of one writer.
const SEQUENCE: u32 = 10;
/// `TracePacket.track_event`.
const EVENT: u32 = 11;
/// `TracePacket.track_descriptor`.
const DESCRIPTOR: u32 = 60;
/// `TrackDescriptor.uuid`, `.name`, `.parent_uuid`.
const TRACK_UUID: u32 = 1;
const TRACK_NAME: u32 = 2;
const TRACK_PARENT: u32 = 5;
/// `TrackEvent.type`, `.track_uuid`, `.name`, `.flow_ids`, `.terminating_flow_ids`.
const EVENT_TYPE: u32 = 9;
const EVENT_TRACK: u32 = 11;
const EVENT_NAME: u32 = 23;
const EVENT_FLOW: u32 = 47;
const EVENT_FLOW_END: u32 = 48;

/// `TrackEvent.Type`.
#[derive(Clone, Copy)]
enum Type {
    Begin = 1,
    End = 2,
    Instant = 3,
}

/// Tracks by what they are of; a track's number is its kind's and the index.
#[derive(Clone, Copy)]
enum Track {
    Core = 1,
    Slots = 2,
    Turns = 3,
    LibOs = 4,
    Client = 5,
}

impl Track {
    const fn of(self, index: u64) -> u64 {
        (self as u64) << 32 | index
    }
}

/// The file's bytes.
pub fn encode(recording: &Recording) -> Vec<u8> {
    let mut writer = Writer { recording, packets: Vec::new(), trace: Message::default() };
    writer.tracks();
    writer.slots();
    writer.turns();
    writer.jobs();
    writer.finish()
}

struct Writer<'a> {
    recording: &'a Recording,
    /// Events by time.
    packets: Vec<(u64, Message)>,
    trace: Message,
}

impl Writer<'_> {
    fn tracks(&mut self) {
        for core in 0..u64::from(self.recording.cores) {
            self.track(Track::Core.of(core), &format!("core {core}"), None);
            self.track(Track::Slots.of(core), "slots", Some(Track::Core.of(core)));
            self.track(Track::Turns.of(core), "turns", Some(Track::Core.of(core)));
        }
        let mut libos: Vec<&str> = Vec::new();
        for (index, client) in self.recording.clients.iter().enumerate() {
            let place = libos.iter().position(|known| *known == client.libos).unwrap_or_else(|| {
                libos.push(&client.libos);
                self.track(Track::LibOs.of(libos.len() as u64 - 1), &client.libos, None);
                libos.len() - 1
            });
            let name = format!("{} {}", client.name, client.place());
            self.track(Track::Client.of(index as u64), &name, Some(Track::LibOs.of(place as u64)));
        }
    }

    fn slots(&mut self) {
        for core in 0..self.recording.cores {
            let slices: Vec<_> = self.recording.slices.iter().filter(|slice| slice.core == core).collect();
            for (place, slice) in slices.iter().enumerate() {
                let owner = slice.owner.map_or("others", |owner| &self.recording.schedulers[owner].libos);
                // A slot's end is late where the interrupt was, and then the next begins late.
                let end = slices.get(place + 1).map_or(slice.end, |next| next.begin.min(slice.end));
                self.span(Track::Slots.of(core.into()), owner, (slice.begin, end), None);
            }
        }
    }

    fn turns(&mut self) {
        for (number, turn) in self.recording.turns.iter().enumerate() {
            let client = &self.recording.clients[turn.client];
            let (name, flow, span) =
                (format!("{}/{}", client.libos, client.name), number as u64 + 1, (turn.begin, turn.end));
            self.span(Track::Turns.of(turn.core.into()), &name, span, Some((EVENT_FLOW, flow)));
            let track = Track::Client.of(turn.client as u64);
            self.span(track, &format!("runs on core {}", turn.core), span, Some((EVENT_FLOW_END, flow)));
        }
    }

    fn jobs(&mut self) {
        for job in &self.recording.jobs {
            let track = Track::Client.of(job.client as u64);
            self.event(
                job.released,
                Type::Instant,
                track,
                Some(&format!("job {} released", job.number)),
                None,
            );
            if let Some(completed) = job.completed {
                let late = if job.due.is_some_and(|due| completed > due) { "late" } else { "done" };
                self.event(
                    completed,
                    Type::Instant,
                    track,
                    Some(&format!("job {} {late}", job.number)),
                    None,
                );
            }
        }
    }

    fn track(&mut self, uuid: u64, name: &str, parent: Option<u64>) {
        let mut track = Message::default().number(TRACK_UUID, uuid).text(TRACK_NAME, name);
        if let Some(parent) = parent {
            track = track.number(TRACK_PARENT, parent);
        }
        let packet = Message::default().number(SEQUENCE, 1).message(DESCRIPTOR, track);
        self.trace = std::mem::take(&mut self.trace).message(PACKET, packet);
    }

    fn span(&mut self, track: u64, name: &str, (begin, end): (u64, u64), flow: Option<(u32, u64)>) {
        self.event(begin, Type::Begin, track, Some(name), flow);
        self.event(end, Type::End, track, None, None);
    }

    fn event(&mut self, time: u64, kind: Type, track: u64, name: Option<&str>, flow: Option<(u32, u64)>) {
        let mut event = Message::default().number(EVENT_TYPE, kind as u64).number(EVENT_TRACK, track);
        if let Some(name) = name {
            event = event.text(EVENT_NAME, name);
        }
        if let Some((field, flow)) = flow {
            event = event.fixed64(field, flow);
        }
        let time = nanoseconds(time, self.recording.epoch, self.recording.frequency);
        let packet = Message::default().number(TIMESTAMP, time).number(SEQUENCE, 1).message(EVENT, event);
        self.packets.push((time, packet));
    }

    /// Everything in the order of time; what happens at once, in the order in which it was said.
    fn finish(mut self) -> Vec<u8> {
        self.packets.sort_by_key(|(time, _)| *time);
        let all =
            self.packets.into_iter().fold(self.trace, |trace, (_, packet)| trace.message(PACKET, packet));
        all.into_bytes()
    }
}
