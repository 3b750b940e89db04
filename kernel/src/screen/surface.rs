//! The pixels of a framebuffer as something to draw on: any format of pixels, any stride. Pure: bytes are bytes.
#![forbid(unsafe_code)]

use core::convert::Infallible;

use bootloader_api::info::{FrameBufferInfo, PixelFormat};
use embedded_graphics_core::Pixel;
use embedded_graphics_core::draw_target::DrawTarget;
use embedded_graphics_core::geometry::{Dimensions, OriginDimensions, Point, Size};
use embedded_graphics_core::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics_core::primitives::Rectangle;

/// Most bytes of a pixel.
const LONGEST_PIXEL: usize = 4;

/// Something to draw on. What would lie outside is left out.
#[derive(Debug)]
pub struct Surface<'a> {
    /// All pixels, row by row.
    bytes: &'a mut [u8],
    /// How they are laid out.
    info: FrameBufferInfo,
}

impl<'a> Surface<'a> {
    /// Returns the surface of pixels that are laid out like this; `None` where that cannot be: the bytes are fewer than the
    /// pixels need, or a pixel is longer than four bytes.
    #[must_use]
    pub fn new(bytes: &'a mut [u8], info: FrameBufferInfo) -> Option<Self> {
        let row = info.stride.checked_mul(info.bytes_per_pixel)?;
        let fits = (1..=LONGEST_PIXEL).contains(&info.bytes_per_pixel)
            && info.width <= info.stride
            && row.checked_mul(info.height)? <= bytes.len()
            && i32::try_from(info.width.max(info.height)).is_ok();
        fits.then_some(Self { bytes, info })
    }

    /// Fills a rectangle.
    pub fn fill(&mut self, area: Rectangle, colour: Rgb888) {
        let area = area.intersection(&self.bounding_box());
        let (pixel, length) = (self.encode(colour), self.info.bytes_per_pixel);
        for y in area.rows() {
            let row = self.row(area.top_left.x, y, area.size.width);
            match length {
                1 => fill_row::<1>(row, pixel),
                2 => fill_row::<2>(row, pixel),
                3 => fill_row::<3>(row, pixel),
                _ => fill_row::<4>(row, pixel),
            }
        }
    }

    /// Draws one pixel.
    pub fn set(&mut self, at: Point, colour: Rgb888) {
        if self.bounding_box().contains(at) {
            let pixel = self.encode(colour);
            let length = self.info.bytes_per_pixel;
            self.row(at.x, at.y, 1).copy_from_slice(&pixel[..length]);
        }
    }

    /// Returns the bytes of `width` pixels from there on, all of which are on the surface.
    fn row(&mut self, x: i32, y: i32, width: u32) -> &mut [u8] {
        let number = y.cast_unsigned() as usize * self.info.stride + x.cast_unsigned() as usize;
        let start = number * self.info.bytes_per_pixel;
        &mut self.bytes[start..start + width as usize * self.info.bytes_per_pixel]
    }

    /// Returns the bytes of a pixel of this colour; as many of them count as a pixel has.
    fn encode(&self, colour: Rgb888) -> [u8; LONGEST_PIXEL] {
        let (red, green, blue) = (colour.r(), colour.g(), colour.b());
        match self.info.pixel_format {
            PixelFormat::Rgb => [red, green, blue, 0],
            PixelFormat::Bgr => [blue, green, red, 0],
            PixelFormat::Unknown {
                red_position,
                green_position,
                blue_position,
            } => {
                let at = |value: u8, position: u8| {
                    u32::from(value)
                        .checked_shl(position.into())
                        .unwrap_or_default()
                };
                (at(red, red_position) | at(green, green_position) | at(blue, blue_position))
                    .to_le_bytes()
            }
            // One byte of grey, or something that nobody knows.
            _ => [luma(red, green, blue); LONGEST_PIXEL],
        }
    }
}

/// Fills a row of pixels of `LENGTH` bytes. Their number is known when this is compiled: a copy of any length is a call.
fn fill_row<const LENGTH: usize>(row: &mut [u8], pixel: [u8; LONGEST_PIXEL]) {
    let Some(pixel) = pixel.first_chunk::<LENGTH>() else {
        return;
    };
    for bytes in row.as_chunks_mut::<LENGTH>().0 {
        *bytes = *pixel;
    }
}

/// Returns how bright a colour is, to the eye.
fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let weighted = 54 * u32::from(red) + 183 * u32::from(green) + 19 * u32::from(blue);
    u8::try_from(weighted / 256).unwrap_or(u8::MAX)
}

impl OriginDimensions for Surface<'_> {
    fn size(&self) -> Size {
        let pixels = |number| u32::try_from(number).unwrap_or_default();
        Size::new(pixels(self.info.width), pixels(self.info.height))
    }
}

impl DrawTarget for Surface<'_> {
    type Color = Rgb888;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<Rgb888>>>(
        &mut self,
        pixels: I,
    ) -> Result<(), Infallible> {
        for Pixel(at, colour) in pixels {
            self.set(at, colour);
        }
        Ok(())
    }

    fn fill_solid(&mut self, area: &Rectangle, colour: Rgb888) -> Result<(), Infallible> {
        self.fill(*area, colour);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    /// A surface of 4 × 2 pixels in rows of 5.
    fn info(pixel_format: PixelFormat, bytes_per_pixel: usize) -> FrameBufferInfo {
        FrameBufferInfo {
            byte_len: 10 * bytes_per_pixel,
            width: 4,
            height: 2,
            pixel_format,
            bytes_per_pixel,
            stride: 5,
        }
    }

    #[test]
    fn pixels_are_encoded_in_every_format() {
        let unknown = PixelFormat::Unknown {
            red_position: 8,
            green_position: 0,
            blue_position: 16,
        };
        for (format, bytes_per_pixel, expected) in [
            (PixelFormat::Rgb, 3, &[1, 2, 3][..]),
            (PixelFormat::Rgb, 4, &[1, 2, 3, 0]),
            (PixelFormat::Bgr, 3, &[3, 2, 1]),
            (PixelFormat::Bgr, 4, &[3, 2, 1, 0]),
            (PixelFormat::U8, 1, &[1]),
            (unknown, 4, &[2, 1, 3, 0]),
        ] {
            let info = info(format, bytes_per_pixel);
            let mut filled = vec![0xff; info.byte_len];
            let mut surface = Surface::new(&mut filled, info).unwrap();
            surface.fill(
                Rectangle::new(Point::new(1, 1), Size::new(1, 1)),
                Rgb888::new(1, 2, 3),
            );
            let mut expected_bytes = vec![0xff; info.byte_len];
            expected_bytes[6 * bytes_per_pixel..7 * bytes_per_pixel].copy_from_slice(expected);
            assert_eq!(filled, expected_bytes, "{format:?}");

            let mut set = vec![0xff; info.byte_len];
            let mut surface = Surface::new(&mut set, info).unwrap();
            surface.set(Point::new(1, 1), Rgb888::new(1, 2, 3));
            assert_eq!(set, expected_bytes, "{format:?}");
        }
    }

    #[test]
    fn what_lies_outside_is_left_out() {
        let info = info(PixelFormat::U8, 1);
        let mut bytes = vec![0; info.byte_len];
        let mut surface = Surface::new(&mut bytes, info).unwrap();
        surface.fill(
            Rectangle::new(Point::new(-3, -3), Size::new(100, 100)),
            Rgb888::WHITE,
        );
        surface.set(Point::new(4, 0), Rgb888::WHITE);
        surface.set(Point::new(0, -1), Rgb888::WHITE);
        // The fifth of each row is no pixel.
        assert_eq!(bytes, [255, 255, 255, 255, 0, 255, 255, 255, 255, 0]);
    }

    #[test]
    fn impossible_layouts_are_refused() {
        let good = info(PixelFormat::Rgb, 3);
        for bad in [
            FrameBufferInfo { stride: 3, ..good },
            FrameBufferInfo { height: 3, ..good },
            FrameBufferInfo {
                bytes_per_pixel: 0,
                ..good
            },
            FrameBufferInfo {
                bytes_per_pixel: 5,
                ..good
            },
            FrameBufferInfo {
                stride: usize::MAX,
                ..good
            },
        ] {
            assert!(Surface::new(&mut [0; 30], bad).is_none(), "{bad:?}");
        }
    }
}
