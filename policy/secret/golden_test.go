package secret_test

const goldenSealed = `00`

const goldenMAC = ""
