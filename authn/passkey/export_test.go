package passkey

// Vouched lets tests show certificates of kinds that no software makes whole
// statements with.
var Vouched = vouched
