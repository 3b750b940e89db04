//! Text on a surface: a font of fixed width with smooth edges, and lines that draw only the characters that have changed.
#![forbid(unsafe_code)]

use core::fmt::{self, Write};

use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::pixelcolor::Rgb888;
use embedded_graphics_core::primitives::Rectangle;
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::surface::Surface;
use super::theme;

/// How text looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// Thickness of the strokes.
    weight: FontWeight,
    /// Height of a line.
    height: RasterHeight,
    /// Colour of the letters.
    pub(crate) colour: Rgb888,
    /// What is behind them.
    pub(crate) background: Rgb888,
}

impl Style {
    /// Text that matters, on a panel.
    pub(crate) const TEXT: Self = Self {
        weight: FontWeight::Regular,
        height: RasterHeight::Size16,
        colour: theme::TEXT,
        background: theme::PANEL,
    };

    /// Text that explains, on a panel.
    pub(crate) const FAINT: Self = Self {
        colour: theme::FAINT_TEXT,
        ..Self::TEXT
    };

    /// The name of a panel.
    pub(crate) const HEADING: Self = Self {
        weight: FontWeight::Bold,
        ..Self::TEXT
    };

    /// The name of the whole.
    pub(crate) const TITLE: Self = Self {
        weight: FontWeight::Bold,
        height: RasterHeight::Size24,
        colour: theme::TEXT,
        background: theme::BACKGROUND,
    };

    /// The same on another background.
    pub(crate) const fn on(self, background: Rgb888) -> Self {
        Self { background, ..self }
    }

    /// Returns the size of a character, in pixels.
    pub(crate) fn character(self) -> Size {
        let pixels = |number| u32::try_from(number).unwrap_or_default();
        Size::new(
            pixels(get_raster_width(self.weight, self.height)),
            pixels(self.height.val()),
        )
    }

    /// Returns how many characters fit into so many pixels.
    pub(crate) fn characters(self, width: u32) -> usize {
        (width / self.character().width) as usize
    }

    /// Returns how wide a text of this many characters is, in pixels.
    pub(crate) fn width(self, characters: usize) -> u32 {
        self.character().width * u32::try_from(characters).unwrap_or_default()
    }
}

/// Draws a character with its upper left corner at `at`. One that the font does not have is drawn as `?`.
pub(crate) fn draw_character(surface: &mut Surface<'_>, at: Point, style: Style, character: char) {
    surface.fill(Rectangle::new(at, style.character()), style.background);
    let raster = get_raster(character, style.weight, style.height)
        .or_else(|| get_raster('?', style.weight, style.height));
    let Some(raster) = raster else { return };
    for (y, row) in (at.y..).zip(raster.rows()) {
        for (x, &coverage) in (at.x..).zip(row) {
            if coverage > 0 {
                let colour = theme::mix(style.background, style.colour, coverage);
                surface.set(Point::new(x, y), colour);
            }
        }
    }
}

/// Draws a text with its upper left corner at `at`.
pub(crate) fn draw(surface: &mut Surface<'_>, at: Point, style: Style, text: &str) {
    let mut at = at;
    for character in text.chars() {
        draw_character(surface, at, style, character);
        at.x += style.width(1).cast_signed();
    }
}

/// Draws a text that ends at `end`, its upper right corner.
pub(crate) fn draw_to(surface: &mut Surface<'_>, end: Point, style: Style, text: &str) {
    let width = style.width(text.chars().count()).cast_signed();
    draw(surface, Point::new(end.x - width, end.y), style, text);
}

/// Most characters of a [`Line`].
const LONGEST: usize = 64;

/// A line of text that changes: only its changed characters are drawn. ASCII alone; what does not fit is cut.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// The upper left corner.
    at: Point,
    /// How it looks.
    style: Style,
    /// How many characters it has.
    length: usize,
    /// What is on the surface.
    shown: [u8; LONGEST],
}

impl Line {
    /// Returns a line of `length` characters, at most 64, with nothing on the surface yet.
    pub(crate) fn new(at: Point, style: Style, length: usize) -> Self {
        Self {
            at,
            style,
            length: length.min(LONGEST),
            shown: [b' '; LONGEST],
        }
    }

    /// Returns what is on the surface.
    #[cfg(test)]
    pub(crate) fn shown(&self) -> &str {
        core::str::from_utf8(&self.shown[..self.length])
            .unwrap_or_default()
            .trim_end()
    }

    /// Changes the colour of what is drawn from now on.
    pub(crate) fn set_colour(&mut self, colour: Rgb888) {
        self.style.colour = colour;
    }

    /// Shows a text.
    pub(crate) fn show(&mut self, surface: &mut Surface<'_>, text: fmt::Arguments<'_>) {
        let mut wanted = Text::new();
        // Text that does not fit is cut.
        let _ = wanted.write_fmt(text);
        let mut at = self.at;
        for (shown, wanted) in self.shown[..self.length].iter_mut().zip(wanted.bytes) {
            if *shown != wanted {
                draw_character(surface, at, self.style, wanted.into());
                *shown = wanted;
            }
            at.x += self.style.width(1).cast_signed();
        }
    }
}

/// A text in the making, without the heap.
#[derive(Debug)]
pub(crate) struct Text {
    /// Its bytes, and spaces behind them.
    bytes: [u8; LONGEST],
    /// How many of them were written.
    length: usize,
}

impl Text {
    /// Nothing yet.
    const fn new() -> Self {
        Self {
            bytes: [b' '; LONGEST],
            length: 0,
        }
    }

    /// Returns a text, as far as it fits.
    pub(crate) fn of(arguments: fmt::Arguments<'_>) -> Self {
        let mut text = Self::new();
        let _ = text.write_fmt(arguments);
        text
    }

    /// Returns the text.
    pub(crate) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            let byte = self.bytes.get_mut(self.length).ok_or(fmt::Error)?;
            *byte = u8::try_from(character)
                .ok()
                .filter(u8::is_ascii)
                .unwrap_or(b'?');
            self.length += 1;
        }
        Ok(())
    }
}
