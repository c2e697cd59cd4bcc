//! Arithmetic that is the same for every element type: integers wrap, as TensorFlow's do.

use super::tensor::Element;

/// A type that numbers are made of.
pub(crate) trait Number: Element {
    const ZERO: Self;
    const ONE: Self;
    /// The least value, for the maximum of nothing.
    const LEAST: Self;
    /// The greatest value.
    const GREATEST: Self;
    const IS_INTEGER: bool;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    /// The quotient, rounded towards zero for integers, of which `other` is not zero.
    fn div(self, other: Self) -> Self;
    fn floor_div(self, other: Self) -> Self;
    /// The remainder with the sign of the divisor.
    fn floor_mod(self, other: Self) -> Self;
    /// The remainder with the sign of the dividend.
    fn remainder(self, other: Self) -> Self;
    fn pow(self, other: Self) -> Self;
    fn neg(self) -> Self;
    fn abs(self) -> Self;
    fn sign(self) -> Self;
    fn to_f64(self) -> f64;
    fn from_f64(value: f64) -> Self;
    fn to_i64(self) -> i64;
    fn from_i64(value: i64) -> Self;

    #[inline]
    fn greater(self, other: Self) -> Self {
        if self < other { other } else { self }
    }

    #[inline]
    fn lesser(self, other: Self) -> Self {
        if other < self { other } else { self }
    }
}

macro_rules! float {
    ($type:ty) => {
        impl Number for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LEAST: Self = <$type>::NEG_INFINITY;
            const GREATEST: Self = <$type>::INFINITY;
            const IS_INTEGER: bool = false;
            #[inline]
            fn add(self, other: Self) -> Self {
                self + other
            }
            #[inline]
            fn sub(self, other: Self) -> Self {
                self - other
            }
            #[inline]
            fn mul(self, other: Self) -> Self {
                self * other
            }
            #[inline]
            fn div(self, other: Self) -> Self {
                self / other
            }
            #[inline]
            fn floor_div(self, other: Self) -> Self {
                (self / other).floor()
            }
            #[inline]
            fn floor_mod(self, other: Self) -> Self {
                let remainder = self % other;
                if remainder != 0.0 && (remainder < 0.0) != (other < 0.0) { remainder + other } else { remainder }
            }
            #[inline]
            fn remainder(self, other: Self) -> Self {
                self % other
            }
            #[inline]
            fn pow(self, other: Self) -> Self {
                self.powf(other)
            }
            #[inline]
            fn neg(self) -> Self {
                -self
            }
            #[inline]
            fn abs(self) -> Self {
                <$type>::abs(self)
            }
            #[inline]
            fn sign(self) -> Self {
                if self > 0.0 {
                    1.0
                } else if self < 0.0 {
                    -1.0
                } else {
                    self
                }
            }
            #[inline]
            fn to_f64(self) -> f64 {
                self.into()
            }
            #[inline]
            fn from_f64(value: f64) -> Self {
                value as Self
            }
            #[inline]
            fn to_i64(self) -> i64 {
                self as i64
            }
            #[inline]
            fn from_i64(value: i64) -> Self {
                value as Self
            }
        }
    };
}

macro_rules! integer {
    ($type:ty) => {
        impl Number for $type {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            const LEAST: Self = <$type>::MIN;
            const GREATEST: Self = <$type>::MAX;
            const IS_INTEGER: bool = true;
            #[inline]
            fn add(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            #[inline]
            fn sub(self, other: Self) -> Self {
                self.wrapping_sub(other)
            }
            #[inline]
            fn mul(self, other: Self) -> Self {
                self.wrapping_mul(other)
            }
            #[inline]
            fn div(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_div(other) }
            }
            #[inline]
            #[allow(unused_comparisons)] // of the unsigned
            fn floor_div(self, other: Self) -> Self {
                let quotient = self.div(other);
                let rounds_up = (self < 0) != (other < 0) && quotient.wrapping_mul(other) != self;
                if rounds_up { quotient.wrapping_sub(1) } else { quotient }
            }
            #[inline]
            fn floor_mod(self, other: Self) -> Self {
                self.wrapping_sub(self.floor_div(other).wrapping_mul(other))
            }
            #[inline]
            fn remainder(self, other: Self) -> Self {
                if other == 0 { 0 } else { self.wrapping_rem(other) }
            }
            #[inline]
            #[allow(unused_comparisons)]
            fn pow(self, other: Self) -> Self {
                if other < 0 { 0 } else { self.wrapping_pow(u32::try_from(other).unwrap_or(u32::MAX)) }
            }
            #[inline]
            fn neg(self) -> Self {
                self.wrapping_neg()
            }
            #[inline]
            #[allow(unused_comparisons)]
            fn abs(self) -> Self {
                if self < 0 { self.wrapping_neg() } else { self }
            }
            #[inline]
            #[allow(unused_comparisons)]
            fn sign(self) -> Self {
                if self > 0 {
                    1
                } else if self < 0 {
                    (0 as $type).wrapping_sub(1)
                } else {
                    0
                }
            }
            #[inline]
            fn to_f64(self) -> f64 {
                self as f64
            }
            #[inline]
            fn from_f64(value: f64) -> Self {
                value as Self
            }
            #[inline]
            fn to_i64(self) -> i64 {
                self as i64
            }
            #[inline]
            fn from_i64(value: i64) -> Self {
                value as Self
            }
        }
    };
}

float!(f32);
float!(f64);
integer!(i32);
integer!(i64);
integer!(u8);
integer!(i8);

/// Runs `$body` with `$type` standing for the element type of a tensor of numbers.
macro_rules! with_number_type {
    ($tensor:expr, $type:ident => $body:expr) => {
        match $tensor.data() {
            $crate::interpreter::tensor::Data::F32(_) => {
                type $type = f32;
                $body
            }
            $crate::interpreter::tensor::Data::F64(_) => {
                type $type = f64;
                $body
            }
            $crate::interpreter::tensor::Data::I32(_) => {
                type $type = i32;
                $body
            }
            $crate::interpreter::tensor::Data::I64(_) => {
                type $type = i64;
                $body
            }
            $crate::interpreter::tensor::Data::U8(_) => {
                type $type = u8;
                $body
            }
            $crate::interpreter::tensor::Data::I8(_) => {
                type $type = i8;
                $body
            }
            $crate::interpreter::tensor::Data::Bool(_) => {
                Err($crate::interpreter::kernel::invalid("booleans where numbers are needed"))
            }
        }
    };
}
pub(crate) use with_number_type;

/// Runs `$body` with `$type` standing for the element type of a tensor of floats.
macro_rules! with_float_type {
    ($tensor:expr, $type:ident => $body:expr) => {
        match $tensor.data() {
            $crate::interpreter::tensor::Data::F32(_) => {
                type $type = f32;
                $body
            }
            $crate::interpreter::tensor::Data::F64(_) => {
                type $type = f64;
                $body
            }
            _ => {
                Err($crate::interpreter::kernel::invalid(format!("{} where floats are needed", $tensor.dtype().name())))
            }
        }
    };
}
pub(crate) use with_float_type;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integer_division_is_tensorflow_s() {
        assert_eq!((7i32.floor_div(-2), 7i32.floor_mod(-2), (-7i32).remainder(2)), (-4, -1, -1));
        assert_eq!(i32::MIN.div(-1), i32::MIN);
        assert_eq!(i8::MAX.add(1), i8::MIN);
        assert_eq!(7u8.floor_div(2), 3);
        assert_eq!((5.5f32.floor_mod(-2.0), (-5.5f32).floor_mod(2.0)), (-0.5, 0.5));
    }
}
