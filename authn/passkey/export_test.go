package passkey

// Vouched lets tests show certificates of kinds that no software makes whole
// statements with.
var Vouched = vouched

// Enrolling lets tests ask for a sign-in as the holder of an enrolment.
var Enrolling = enrolling
