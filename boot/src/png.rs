//! The beginning of a PNG file: enough to tell a picture from something else, and its size.

/// What every PNG begins with: the mark of the format, then the length and name of the first chunk, which is the header.
const BEGINNING: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR";

/// What every whole PNG ends with: an empty chunk `IEND` and its checksum.
const END: &[u8] = b"\0\0\0\0IEND\xae\x42\x60\x82";

/// Returns width and height of a picture in pixels; `None` where `content` is no PNG, or one without an end.
pub(crate) fn size(content: &[u8]) -> Option<(u32, u32)> {
    let header = content.strip_prefix(BEGINNING)?;
    if !content.ends_with(END) {
        return None;
    }
    let (width, header) = header.split_first_chunk()?;
    let (height, _) = header.split_first_chunk()?;
    Some((u32::from_be_bytes(*width), u32::from_be_bytes(*height)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of one black pixel.
    const PIXEL: &[u8] =
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\
        \0\0\0\x0aIDAT\x78\x9c\x63\0\0\0\x02\0\x01\x48\xaf\xa4\x71\0\0\0\0IEND\xae\x42\x60\x82";

    #[test]
    fn size_is_read_from_the_header() {
        assert_eq!(size(PIXEL), Some((1, 1)));
        let mut large = PIXEL.to_vec();
        large[16..24].copy_from_slice(b"\0\0\x05\0\0\0\x03\x20");
        assert_eq!(size(&large), Some((1280, 800)));
    }

    #[test]
    fn what_is_no_whole_picture_has_no_size() {
        assert_eq!(size(b""), None);
        assert_eq!(size(b"P6 1 1 255"), None);
        for length in 0..PIXEL.len() {
            assert_eq!(size(&PIXEL[..length]), None, "{length} bytes");
        }
    }
}
