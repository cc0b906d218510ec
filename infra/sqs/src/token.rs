//! Message ids, receipt handles and page tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A random UUID (version 4) in its usual form.
pub(crate) fn random_uuid() -> String {
    let bits = fastrand::u128(..);
    let bits = (bits & !(0xf000_u128 << 64) & !(0xc000_u128 << 48))
        | (0x4000_u128 << 64)
        | (0x8000_u128 << 48);
    let hex = format!("{bits:032x}");
    let (a, rest) = hex.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// One delivery of a message: its row and its number of receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    pub(crate) queue: i64,
    pub(crate) row: i64,
    pub(crate) receives: i64,
}

impl Receipt {
    /// The handle for the caller. Its seal detects forged handles and those of another file.
    pub(crate) fn handle(&self, secret: &str) -> String {
        let mut bytes = self.bytes();
        bytes.extend(seal(&bytes, secret));
        STANDARD.encode(bytes)
    }

    /// Parses a handle of [`Receipt::handle`] with the same secret.
    pub(crate) fn parse(handle: &str, secret: &str) -> Option<Self> {
        let bytes = STANDARD.decode(handle).ok()?;
        let (body, sealed) = bytes.split_at_checked(24)?;
        let mut numbers =
            body.chunks_exact(8).map(|chunk| chunk.try_into().map(i64::from_be_bytes));
        let mut next = || numbers.next()?.ok();
        let receipt = Self { queue: next()?, row: next()?, receives: next()? };
        (seal(body, secret) == sealed).then_some(receipt)
    }

    fn bytes(&self) -> Vec<u8> {
        [self.queue, self.row, self.receives]
            .iter()
            .flat_map(|number| number.to_be_bytes())
            .collect()
    }
}

fn seal(bytes: &[u8], secret: &str) -> [u8; 16] {
    let mut context = md5::Context::new();
    context.consume(secret);
    context.consume(bytes);
    context.compute().0
}

/// A page token that continues after `name`.
pub(crate) fn page_after(name: &str) -> String {
    STANDARD.encode(name)
}

/// The name that a page token continues after.
pub(crate) fn parse_page(token: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(token).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_can_be_read_back_but_not_invented_or_altered() {
        let receipt = Receipt { queue: 3, row: 70_000, receives: 2 };
        let handle = receipt.handle("secret");
        assert_eq!(Receipt::parse(&handle, "secret"), Some(receipt));
        assert_eq!(Receipt::parse(&handle, "another file"), None);
        assert_eq!(Receipt::parse("garbage", "secret"), None);
        assert_eq!(Receipt::parse("", "secret"), None);
        let mut bytes = STANDARD.decode(&handle).unwrap();
        bytes[15] ^= 1;
        assert_eq!(Receipt::parse(&STANDARD.encode(bytes), "secret"), None);
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let id = random_uuid();
        assert_eq!(id.len(), 36);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }
}
