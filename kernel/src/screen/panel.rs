//! The kernel's last words on the screen: a panel of text over everything.
//!
//! For when nothing can be trusted: no lock, no allocation, nothing remembered but where the next character goes. Lines that
//! are too long go on in the next one; when the panel is full, the rest is left out (the serial console has it).
#![forbid(unsafe_code)]

use core::fmt;

use embedded_graphics_core::geometry::{OriginDimensions, Point, Size};
use embedded_graphics_core::pixelcolor::Rgb888;
use embedded_graphics_core::primitives::Rectangle;

use super::surface::Surface;
use super::text::{Style, draw_character};
use super::theme;
use super::tile::draw_frame;

/// Behind the text.
const BACKGROUND: Rgb888 = Rgb888::new(0x2a, 0x0d, 0x12);
/// Pixels from the screen's edge to the panel.
const MARGIN: u32 = 24;
/// Pixels from the panel's edge to the text.
const PADDING: u32 = 12;
/// How the text looks.
const STYLE: Style = Style::TEXT.on(BACKGROUND);
/// What stands in the last line when there is more.
const MORE: &str = "... (the serial console has the rest)";

/// A panel that takes text.
#[derive(Debug)]
pub struct Panel<'a> {
    /// Where it is drawn.
    surface: Surface<'a>,
    /// Where the text goes.
    area: Rectangle,
    /// Characters in a line, and lines.
    size: Size,
    /// Where the next character goes, in characters and lines.
    next: Size,
    /// Not everything had room.
    is_cut: bool,
    /// Where in an escape sequence the text is.
    escape: Escape,
}

impl<'a> Panel<'a> {
    /// Draws an empty panel over whatever is on the surface.
    #[must_use]
    pub fn new(mut surface: Surface<'a>) -> Self {
        let all = Rectangle::new(Point::zero(), surface.size());
        let frame = all.offset(-MARGIN.cast_signed());
        surface.fill(frame, BACKGROUND);
        draw_frame(&mut surface, frame, theme::ALARM);
        let area = frame.offset(-PADDING.cast_signed());
        Self {
            surface,
            area,
            size: area.size.component_div(STYLE.character()),
            next: Size::zero(),
            is_cut: false,
            escape: Escape::None,
        }
    }

    /// Writes a character, or says that there was no room for it.
    fn push(&mut self, character: char) {
        if character == '\n' {
            self.next = Size::new(0, self.next.height.saturating_add(1));
            return;
        }
        if self.next.width >= self.size.width {
            self.next = Size::new(0, self.next.height.saturating_add(1));
        }
        if self.next.height < self.size.height {
            self.draw(character);
        } else if !self.is_cut {
            self.is_cut = true;
            self.say_that_there_is_more();
        }
    }

    /// Draws a character, and goes on to the next.
    fn draw(&mut self, character: char) {
        let offset = self.next.component_mul(STYLE.character());
        draw_character(
            &mut self.surface,
            self.area.top_left + offset,
            STYLE,
            character,
        );
        self.next.width += 1;
    }

    /// Uses the last line to say that it is not the last.
    fn say_that_there_is_more(&mut self) {
        let Some(last) = self.size.height.checked_sub(1) else {
            return;
        };
        self.next = Size::new(0, last);
        for character in MORE.chars().take(self.size.width as usize) {
            self.draw(character);
        }
        // What was in that line behind it.
        while self.next.width < self.size.width {
            self.draw(' ');
        }
        self.next = self.size;
    }
}

impl fmt::Write for Panel<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Colours are for terminals: `ESC [ … letter` is left out.
        for character in text.chars() {
            self.escape = match (self.escape, character) {
                (Escape::None, '\x1b') => Escape::Begun,
                (Escape::Begun, '[') => Escape::Inside,
                (Escape::Inside, '@'..='~') | (Escape::Begun, _) => Escape::None,
                (Escape::Inside, _) => Escape::Inside,
                (Escape::None, _) => {
                    if character != '\r' {
                        self.push(character);
                    }
                    Escape::None
                }
            };
        }
        Ok(())
    }
}

/// Where in an escape sequence a text is.
#[derive(Clone, Copy, Debug)]
enum Escape {
    /// In none.
    None,
    /// Behind `ESC`.
    Begun,
    /// Behind `ESC [`.
    Inside,
}
