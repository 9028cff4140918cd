//! Remote references: whatever is read from bytes or text is written so that it is read again.

use arbitrary::{Arbitrary, Unstructured};
use partisan_proto::{NodeName, Reference};

/// The input as a reference, as the bytes of one and as the text of one.
pub fn references(data: &[u8]) {
    if let Ok(reference) = Reference::arbitrary(&mut Unstructured::new(data)) {
        comes_back(&reference);
    }
    if let Ok(reference) = Reference::from_bytes(data) {
        comes_back(&reference);
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(reference) = text.parse::<Reference>() {
        comes_back(&reference);
    }
    // The name of a node, whatever it holds, says the same as its identifier.
    if let Ok(name) = NodeName::new(text) {
        let reference = Reference::Name {
            node: name.id(),
            name: partisan_proto::ProcessName::new("p:%#").expect("a good name"),
        };
        assert_eq!(reference.to_text(&name).parse(), Ok(reference), "of {name}");
    }
}

fn comes_back(reference: &Reference) {
    assert_eq!(Reference::from_bytes(&reference.to_bytes()).as_ref(), Ok(reference));
    let text = reference.to_string();
    assert_eq!(text.parse().as_ref(), Ok(reference), "{text}");
    let padded = format!("{text}:for:later");
    assert_eq!(padded.parse().as_ref(), Ok(reference), "further parts are for later versions");
}
