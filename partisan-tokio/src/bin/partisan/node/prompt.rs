//! What can be typed at a running node.

use partisan_tokio::Address;

use crate::requests::Request;

/// The list of commands.
pub(crate) const HELP: &str = "\
members                            who is in the cluster, where, and whether connected
connections                        every open connection
peers                              round-trip times and failures of the other members
counters                           how often what happened since the start
neighbors                          who is next to the node in the overlay
views                              whom the manager is connected to, and whom it knows besides
tree NODE                          how broadcasts of a node travel through this one
broadcast TEXT...                  tell a text to all nodes of the cluster
processes [NODE]                   the processes of this node, or of another
whereis NODE NAME                  whom a name stands for on a node
calls                              calls under way, and what became of those before
partitions                         which injected partitions the node is in
partition [TTL]                    for tests: stop sending to neighbours, here and TTL hops around
resolve PARTITION                  end an injected partition everywhere
send NODE [--channel C] TEXT...    send a text to a node, by way of others if need be
join ADDRESS                       join the cluster of whoever answers there
leave                              leave the cluster and go on alone
remove NODE                        remove another node from the cluster, dead or alive
help                               this list
quit                               stop the node; it stays a member

NODE is a full name, or the part before the @ where that is unique.
";

/// What one line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Request(Request),
    Help,
    Quit,
    Nothing,
}

/// Understands one line.
pub(crate) fn parse(line: &str) -> Result<Wish, String> {
    let (word, rest) = cut(line);
    let alone = |wish: Wish| match rest {
        "" => Ok(wish),
        _ => Err(format!("`{word}` takes nothing after it")),
    };
    match word {
        "" => Ok(Wish::Nothing),
        "help" | "?" => alone(Wish::Help),
        "quit" | "exit" => alone(Wish::Quit),
        "members" => alone(Wish::Request(Request::Members)),
        "connections" => alone(Wish::Request(Request::Connections)),
        "peers" => alone(Wish::Request(Request::Peers)),
        "counters" => alone(Wish::Request(Request::Counters)),
        "leave" => alone(Wish::Request(Request::Leave)),
        "join" => join(rest),
        "neighbors" => alone(Wish::Request(Request::Neighbors)),
        "views" => alone(Wish::Request(Request::Views)),
        "processes" if rest.is_empty() => Ok(Wish::Request(Request::Processes { node: None })),
        "processes" => {
            one(rest, "processes [NODE]", |node| Request::Processes { node: Some(node) })
        }
        "whereis" => whereis(rest).ok_or_else(|| "write: whereis NODE NAME".into()),
        "calls" => alone(Wish::Request(Request::Calls)),
        "partitions" => alone(Wish::Request(Request::Partitions)),
        "remove" => one(rest, "remove NODE", |node| Request::Remove { node }),
        "tree" => one(rest, "tree NODE", |root| Request::Tree { root }),
        "resolve" => one(rest, "resolve PARTITION", |id| Request::Resolve { id }),
        "partition" => match if rest.is_empty() { Ok(0) } else { rest.parse() } {
            Ok(ttl) => Ok(Wish::Request(Request::Partition { ttl })),
            Err(_) => Err("write: partition [TTL], with a number up to 255".into()),
        },
        "broadcast" if rest.is_empty() => Err("write: broadcast TEXT...".into()),
        "broadcast" => Ok(Wish::Request(Request::Broadcast { text: rest.to_owned() })),
        "send" => send(rest).ok_or_else(|| "write: send NODE [--channel C] TEXT...".into()),
        _ => Err(format!("`{word}` is no command; `help` lists them")),
    }
}

fn cut(line: &str) -> (&str, &str) {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    (word, rest.trim())
}

/// A command with one word after it.
fn one(rest: &str, usage: &str, request: fn(String) -> Request) -> Result<Wish, String> {
    match cut(rest) {
        (word, "") if !word.is_empty() => Ok(Wish::Request(request(word.to_owned()))),
        _ => Err(format!("write: {usage}")),
    }
}

fn whereis(rest: &str) -> Option<Wish> {
    let (node, name) = cut(rest);
    let whole = !node.is_empty() && !name.is_empty() && !name.contains(char::is_whitespace);
    let (node, name) = (node.to_owned(), name.to_owned());
    whole.then_some(Wish::Request(Request::Whereis { node, name }))
}

fn join(rest: &str) -> Result<Wish, String> {
    let address: Address =
        rest.parse().map_err(|error| format!("write: join HOST:PORT ({error})"))?;
    let address = address.to_string();
    Ok(Wish::Request(Request::Join { address, wait_ms: 0 }))
}

fn send(rest: &str) -> Option<Wish> {
    let (node, rest) = cut(rest);
    let (channel, text) = match cut(rest) {
        ("--channel", rest) => {
            let (channel, text) = cut(rest);
            (Some(channel.to_owned()), text)
        }
        _ => (None, rest),
    };
    if node.is_empty() || text.is_empty() {
        return None;
    }
    let (node, text) = (node.to_owned(), text.to_owned());
    Some(Wish::Request(Request::Send { node, channel, text }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_keeps_its_inner_space() {
        let wish = parse(" send  bob --channel bulk  a  b ").unwrap();
        let expected =
            Request::Send { node: "bob".into(), channel: Some("bulk".into()), text: "a  b".into() };
        assert_eq!(wish, Wish::Request(expected));
    }

    #[test]
    fn a_broadcast_is_all_that_follows_and_a_partition_needs_no_reach() {
        let broadcast = parse("broadcast a  b").unwrap();
        assert_eq!(broadcast, Wish::Request(Request::Broadcast { text: "a  b".into() }));
        for (line, ttl) in [("partition", 0), ("partition 3", 3)] {
            assert_eq!(parse(line).unwrap(), Wish::Request(Request::Partition { ttl }));
        }
    }

    #[test]
    fn mistakes_are_told() {
        for line in [
            "send",
            "send bob",
            "join x",
            "remove",
            "members all",
            "mebmers",
            "broadcast",
            "tree",
            "partition x",
            "whereis a",
            "whereis a b c",
            "processes a b",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert_eq!(parse("  "), Ok(Wish::Nothing));
    }
}
