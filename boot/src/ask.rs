//! What the kernel asks for, read from its line on the console; see [`Ask`](crate::protocol::Ask) for the other side.

use crate::protocol::ASK_PREFIX;

/// Something that the kernel asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Inject so many non-maskable interrupts.
    Nmi(u32),
    /// Type these bytes on the console's input.
    Type(Vec<u8>),
}

impl Request {
    /// Reads a line; `None` where it asks for nothing that is known.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (verb, rest) = line.strip_prefix(ASK_PREFIX)?.split_once(' ')?;
        match verb {
            "nmi" => rest.parse().ok().map(Self::Nmi),
            "type" => unescaped(rest).map(Self::Type),
            _ => None,
        }
    }
}

/// Returns the bytes that a text with `\\` and `\xNN` stands for; `None` where it has another escape.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend(plain.as_bytes());
        rest = if let Some(rest) = escape.strip_prefix('\\') {
            bytes.push(b'\\');
            rest
        } else {
            let (digits, rest) = escape.strip_prefix('x')?.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest
        };
    }
    bytes.extend(rest.as_bytes());
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Ask;

    #[test]
    fn what_the_kernel_prints_is_read_back() {
        assert_eq!(
            Request::parse(&Ask::Nmi(7).to_string()),
            Some(Request::Nmi(7))
        );
        let all: Vec<u8> = (0..=255).collect();
        for bytes in [
            &all[..],
            b"",
            b"heap map\n",
            br"\x41 \\ \",
            b" two  spaces ",
        ] {
            assert_eq!(
                Request::parse(&Ask::Type(bytes).to_string()),
                Some(Request::Type(bytes.to_vec()))
            );
        }
    }

    #[test]
    fn malformed_requests_are_not_believed() {
        for line in [
            "@ask",
            "@ask nmi",
            "@ask nmi many",
            "@ask nmi -1",
            "@ask nmi 99999999999",
            r"@ask type \n",
            r"@ask type \x4",
            r"@ask type \xé",
            r"@ask type \",
            "@ask coffee now",
            "ask nmi 1",
        ] {
            assert_eq!(Request::parse(line), None, "{line}");
        }
    }
}
