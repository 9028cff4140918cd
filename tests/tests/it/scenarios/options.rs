//! Every combination of options of a message works or is refused with a typed error.

use bytes::Bytes;
use partisan_proto::config::Compression;
use partisan_proto::wire::Destination;
use partisan_proto::{
    Answer, ChannelId, ChannelName, ChannelOptions, Channels, Command, CommandError, Config,
    LabelId, LabelName, Send, SendReliable,
};
use partisan_tests::{Answered, Cluster};

on_both! {
    every_combination_works_or_is_refused: 4;
}

fn config() -> Config {
    let plain = ChannelOptions::default();
    let monotonic = ChannelOptions { monotonic: true, ..ChannelOptions::lanes(2) };
    let compressed = ChannelOptions { compression: Compression::Lz4, ..plain };
    let both = ChannelOptions { compression: Compression::Lz4, ..monotonic };
    let named = [
        ("plain", plain),
        ("wide", ChannelOptions::lanes(4)),
        ("monotonic", monotonic),
        ("compressed", compressed),
        ("both", both),
    ];
    let named = named.map(|(name, options)| (ChannelName::new(name).expect("good"), options));
    let mut config = Config { channels: Channels::new(named).expect("good"), ..Config::default() };
    config.delivery.labels = vec![LabelName::new("a").expect("good")];
    config
}

/// What a message asks for.
#[derive(Clone, Copy, Debug)]
struct Asked {
    channel: ChannelId,
    key: Option<u64>,
    acknowledged: bool,
    causal: bool,
    relay: bool,
}

fn combinations(config: &Config) -> Vec<Asked> {
    let mut all = Vec::new();
    let channels = ["default", "plain", "wide", "monotonic", "compressed", "both", "membership"];
    for channel in channels.map(|name| config.channels.id(name).expect("configured")) {
        for key in [None, Some(7)] {
            for bits in 0..8_u8 {
                let [acknowledged, causal, relay] = [1, 2, 4].map(|bit| bits & bit != 0);
                // A causal message is an acknowledged one.
                if acknowledged || !causal {
                    all.push(Asked { channel, key, acknowledged, causal, relay });
                }
            }
        }
    }
    all
}

fn expected(config: &Config, asked: Asked) -> Answered {
    let monotonic = config.channels.is_monotonic(asked.channel);
    let refused = |why| Err(CommandError::NotSupported(why));
    match asked {
        Asked { channel: ChannelId::MEMBERSHIP, .. } => Err(CommandError::ReservedChannel),
        Asked { acknowledged: true, .. } if monotonic => {
            refused("acknowledgements on monotonic channels; use another channel")
        }
        Asked { causal: true, relay: true, .. } => {
            refused("relays of causal messages; leave out the label or the relay")
        }
        Asked { relay: true, .. } if monotonic => {
            refused("relays of messages of monotonic channels; use another channel")
        }
        Asked { acknowledged: true, .. } => Ok(Answer::Acknowledged),
        _ => Ok(Answer::Done),
    }
}

fn every_combination_works_or_is_refused(cluster: &mut impl Cluster) {
    let config = config();
    cluster.form(2, &config);
    let label = LabelId::of(&config.delivery.labels[0]);
    let to = cluster.id(1);
    let mut sent = Vec::new();
    for (number, asked) in combinations(&config).into_iter().enumerate() {
        // Long enough to be compressed.
        let payload = Bytes::from(format!("{number} ").repeat(400));
        let Asked { channel, key, acknowledged, causal, relay } = asked;
        let destination = Destination::Inbox;
        let command = match acknowledged {
            true => {
                let label = causal.then_some(label);
                let plain = SendReliable::new(to, payload.clone());
                Command::SendReliable(Box::new(SendReliable {
                    channel,
                    key,
                    relay,
                    label,
                    ..plain
                }))
            }
            false => {
                let payload = payload.clone();
                Command::Send(Send { to, channel, key, destination, relay, payload })
            }
        };
        let given = cluster.ask(0, command);
        let answer = cluster.wait_for_answer(given);
        assert_eq!(answer, expected(&config, asked), "{asked:?}");
        if answer.is_ok() {
            sent.push((channel, payload));
            let count = sent.len();
            cluster.wait("it", |cluster| cluster.deliveries(1).len() == count);
        }
    }
    let deliveries = cluster.deliveries(1);
    let got = Vec::from_iter(deliveries.into_iter().map(|one| (one.channel, one.payload)));
    assert_eq!(got, sent);
}
