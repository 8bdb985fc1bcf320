package secret_test

// A value sealed by format version 1 at totp_device.seed, row 42, under the key
// a1b2c3d4 of 32 bytes 7.
const goldenSealed = `
	01 08 6131623263336434
	91cba07bdc02f1514d94f4ab
	6ff341b81db1e5e124505cf322ff7e1c2af4b69c0028c44a42e380ced54c2465
	1c90e4c8bb1edd866aa4adf5fbcfddf6
	36bdf2edcf2ba6e19a07a498
	7ff7e28f35a731db5bf27e06fdba880c593509c8
	b8e668ea0bf718cd766fdef8a4161e27`

// HMAC-SHA-256 under HKDF-Expand(HKDF-Extract(key), "sekisho mac v1 session"),
// computed apart from this package.
const goldenMAC = "79e8a02acac42433f10a9d7a2d76d63594df91507becad5d8a08f97d6bdbc374"
