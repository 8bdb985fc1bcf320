package page

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
)

// picture stands for a QR code: a chessboard of the size asked for.
func picture(size int) ([]byte, error) {
	img := image.NewGray(image.Rect(0, 0, size, size))
	for y := range size {
		for x := range size {
			if (x/8+y/8)%2 == 0 {
				img.SetGray(x, y, color.Gray{Y: 255})
			}
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}
