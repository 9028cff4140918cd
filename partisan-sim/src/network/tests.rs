//! The network alone, with the two ends of a connection played by the test.

use partisan_proto::wire::Destination;
use proptest::prelude::*;

use super::*;

struct Lab {
    network: Network,
    queue: Queue<Happening>,
    now: Instant,
    /// What each node experienced.
    seen: Vec<(usize, Event)>,
}

const DIALLED: ConnectionId = ConnectionId::dialled(0);
const ACCEPTED: ConnectionId = ConnectionId::accepted(0);

impl Lab {
    fn new(seed: u64) -> Self {
        let mut network = Network::new(seed, NetworkOptions::default());
        for _ in 0..2 {
            let node = network.add_station();
            network.start(node, false);
        }
        Self { network, queue: Queue::default(), now: Instant::ZERO, seen: Vec::new() }
    }

    fn open(seed: u64) -> Self {
        let mut lab = Self::new(seed);
        lab.dial();
        lab.run(Duration::from_millis(10));
        assert_eq!(
            lab.take(),
            [
                (1, Event::Accepted { connection: ACCEPTED }),
                (0, Event::Opened { connection: DIALLED })
            ]
        );
        lab
    }

    fn dial(&mut self) {
        let addresses = [self.network.address(1)].into();
        let timeout = Duration::from_secs(1);
        self.network.dial(self.now, 0, DIALLED, addresses, timeout, &mut self.queue);
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while let Some((at, happening)) = self.queue.pop_until(until) {
            self.now = at;
            if let Happening::Net(signal) = happening
                && let Some(event) = self.network.signal(at, signal, &mut self.queue)
            {
                self.seen.push(event);
            }
        }
        self.now = until;
    }

    fn send(&mut self, node: usize, number: u32) -> bool {
        self.send_bytes(node, number.to_be_bytes().to_vec())
    }

    fn send_bytes(&mut self, node: usize, payload: Vec<u8>) -> bool {
        let id = if node == 0 { DIALLED } else { ACCEPTED };
        let size = payload.len() as u32;
        let frame = Frame::App { destination: Destination::Inbox, payload: payload.into() };
        self.network.send(self.now, node, id, frame, size, &mut self.queue)
    }

    fn take(&mut self) -> Vec<(usize, Event)> {
        std::mem::take(&mut self.seen)
    }

    /// The numbers that arrived at node 1, and how the connection ended there.
    fn arrived(&mut self) -> (Vec<u32>, Option<CloseReason>) {
        let (mut numbers, mut end) = (Vec::new(), None);
        for (node, event) in self.take() {
            match event {
                Event::Received { frame: Frame::App { payload, .. }, .. } if node == 1 => {
                    assert_eq!(end, None, "nothing arrives after the end");
                    numbers.push(u32::from_be_bytes(payload[..].try_into().unwrap()));
                }
                Event::Closed { reason, .. } if node == 1 => end = Some(reason),
                _ => {}
            }
        }
        (numbers, end)
    }
}

#[test]
fn nobody_listening_refuses_and_a_black_hole_times_out() {
    let mut lab = Lab::new(1);
    lab.network.stop(lab.now, 1, Death::Process, &mut lab.queue);
    lab.dial();
    lab.run(Duration::from_millis(10));
    let refused = Event::OpenFailed { connection: DIALLED, error: OpenError::Refused };
    assert_eq!(lab.take(), [(0, refused)]);

    let mut lab = Lab::new(1);
    lab.network.black_hole(1, true);
    lab.dial();
    lab.run(Duration::from_millis(999));
    assert_eq!(lab.take(), []);
    lab.run(Duration::from_millis(2));
    let lost = Event::OpenFailed { connection: DIALLED, error: OpenError::TimedOut };
    assert_eq!(lab.take(), [(0, lost)]);
}

#[test]
fn the_next_address_is_tried_after_one_that_fails() {
    let mut lab = Lab::new(1);
    let mut elsewhere = lab.network.address(1);
    elsewhere.port += 1;
    let addresses = [elsewhere, lab.network.address(1)].into();
    let timeout = Duration::from_secs(1);
    lab.network.dial(lab.now, 0, DIALLED, addresses, timeout, &mut lab.queue);
    lab.run(Duration::from_millis(10));
    assert!(lab.take().contains(&(0, Event::Opened { connection: DIALLED })));
}

#[test]
fn an_orderly_end_comes_after_all_frames() {
    let mut lab = Lab::open(1);
    for number in 0..10 {
        assert!(lab.send(0, number));
    }
    lab.network.close(lab.now, 0, DIALLED, true, &mut lab.queue);
    assert!(!lab.send(0, 10), "closed ends send nothing");
    lab.run(Duration::from_secs(1));
    assert_eq!(lab.arrived(), ((0..10).collect(), Some(CloseReason::ClosedByPeer)));
    assert!(lab.network.links(0).chain(lab.network.links(1)).next().is_none());
}

#[test]
fn a_partition_stalls_frames_and_healing_brings_them_in_order() {
    let mut lab = Lab::open(1);
    lab.network.partition(&[vec![0], vec![1]], true);
    lab.send(0, 0);
    lab.run(Duration::from_secs(5));
    lab.send(0, 1);
    lab.run(Duration::from_secs(5));
    assert_eq!(lab.take(), []);
    lab.network.heal(lab.now, &mut lab.queue);
    lab.send(0, 2);
    lab.run(Duration::from_secs(1));
    assert_eq!(lab.arrived(), (vec![0, 1, 2], None));
}

#[test]
fn a_long_partition_breaks_the_senders_end_alone() {
    let mut lab = Lab::open(1);
    lab.network.block(0, 1);
    lab.send(0, 0);
    lab.run(Duration::from_secs(70));
    let broken = Event::Closed { connection: DIALLED, reason: CloseReason::Broken };
    assert_eq!(lab.take(), [(0, broken)]);
    assert!(lab.network.is_open(1, ACCEPTED), "half open");
}

#[test]
fn a_one_way_partition_lets_the_other_way_pass() {
    let mut lab = Lab::open(1);
    lab.network.partition(&[vec![1], vec![0]], false);
    lab.send(0, 7);
    lab.send(1, 8);
    lab.run(Duration::from_secs(1));
    assert_eq!(lab.arrived(), (vec![7], None));
}

#[test]
fn a_silent_death_is_noticed_by_sending_only() {
    let mut lab = Lab::open(1);
    lab.network.stop(lab.now, 1, Death::Machine, &mut lab.queue);
    lab.run(Duration::from_secs(500));
    assert!(lab.network.is_open(0, DIALLED));
    lab.network.start(1, false);
    lab.send(0, 1);
    lab.run(Duration::from_secs(1));
    let broken = Event::Closed { connection: DIALLED, reason: CloseReason::Broken };
    assert_eq!(lab.take(), [(0, broken)], "the machine is back and knows no such connection");
}

#[test]
fn a_full_connection_says_so_and_says_when_it_has_drained() {
    let mut lab = Lab::open(1);
    lab.network.clog(lab.now, 0, 1, true, &mut lab.queue);
    for _ in 0..20 {
        lab.send_bytes(0, vec![0; 100_000]);
    }
    lab.run(Duration::from_secs(1));
    assert_eq!(lab.take(), [(0, Event::Congested { connection: DIALLED })]);
    lab.network.clog(lab.now, 0, 1, false, &mut lab.queue);
    lab.run(Duration::from_secs(1));
    assert!(lab.take().contains(&(0, Event::Drained { connection: DIALLED })));
}

proptest! {
    /// Whatever is done to a connection, what arrives is a prefix of what was sent, in order.
    #[test]
    fn what_arrives_is_a_prefix(
        seed in 0..1_000u64,
        steps in proptest::collection::vec((0..8u8, 0..100u64), 1..60),
    ) {
        let mut lab = Lab::open(seed);
        let mut sent = 0;
        for (step, millis) in steps {
            match step {
                0..4 => sent += u32::from(lab.send(0, sent)),
                4 => lab.network.clog(lab.now, 0, 1, millis % 2 == 0, &mut lab.queue),
                5 => lab.network.block(0, 1),
                6 => lab.network.clear(lab.now, &mut lab.queue),
                _ if millis < 5 => {
                    let how = [Cut::Reset, Cut::Silent, Cut::OneSide][(millis % 3) as usize];
                    lab.network.cut(lab.now, 0, 1, how, &mut lab.queue);
                }
                _ => lab.network.slow(0, 1, (millis > 50).then_some(1_000)),
            }
            let pause = Duration::from_micros(millis * 10);
            lab.run(pause);
        }
        lab.network.clear(lab.now, &mut lab.queue);
        lab.run(Duration::from_secs(100));
        let (arrived, _) = lab.arrived();
        let expected: Vec<u32> = (0..arrived.len() as u32).collect();
        prop_assert!(arrived.len() <= sent as usize);
        prop_assert_eq!(arrived, expected);
    }
}
