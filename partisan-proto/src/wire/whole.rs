//! Values that are all that some bytes say.

use serde::Deserialize;

/// Reads a value that takes all of the bytes, in the postcard format. Types do not travel: what was
/// written as another type of the same shape is read all the same.
///
/// # Errors
/// When the bytes are of another shape, or go on behind the value.
pub fn read_whole<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, postcard::Error> {
    match postcard::take_from_bytes(bytes)? {
        (value, []) => Ok(value),
        (_, _) => Err(postcard::Error::DeserializeBadEncoding),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_on_behind_the_value_is_of_another_type() {
        let text = postcard::to_allocvec("hello").unwrap();
        assert_eq!(read_whole::<alloc::string::String>(&text).unwrap(), "hello");
        assert!(read_whole::<u32>(&text).is_err());
        assert!(read_whole::<()>(&text).is_err());
        assert!(read_whole::<u8>(&[]).is_err());
    }
}
