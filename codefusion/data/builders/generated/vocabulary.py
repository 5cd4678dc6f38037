"""Words, names, columns, sheets and colours that generated requests are made of.

Everything here is general vocabulary of spreadsheets, written for this package.
Words shared by all splits are `KNOWN`; values that belong to one split are made up
in `values.py` from the syllables below.
"""


def _listed(text):
    return tuple(text.replace("\n", "").split("|"))


STATUSES = _listed(
    """Yes|No|Pass|Fail|Open|Closed|Active|Inactive|Pending|Done|Complete|Completed|
Incomplete|In Progress|On Hold|Not Started|Started|Approved|Rejected|Cancelled|Late|
Overdue|Paid|Unpaid|Due|True|False|TRUE|FALSE|OK|N/A|None|Nil|TBD|High|Medium|Low|
Critical|Urgent|Normal|New|Old|Used|Sold|Available|Unavailable|Shipped|Delivered|
Returned|Draft|Final|Review|Submitted|Accepted|Declined|Absent|Present|Good|Bad|
Poor|Fair|Excellent|Average|Strong|Weak|Safe|Error|Warning|Alert|Missing|Found|
Valid|Invalid|Eligible|Exempt|Full|Empty|Male|Female|Male Adult|Blocked|Resolved|
On Track|At Risk|Off Track|Not Met|Met|Partially Met|Exceeds|Below Target|Unknown|
Not Applicable|Not Required|Required|Optional|Yearly|Monthly|Weekly|Daily|Hourly"""
)

FIRST_NAMES = tuple(
    """Alice Amir Anna Arjun Ben Bianca Carlos Chen Clara Daniel Daria David Elena Emil
Emma Farah Felix Fiona George Grace Hana Hugo Ines Ivan Jack Jana John Julia Karim
Kate Lars Laura Leo Lina Lucas Maria Marco Mei Mila Nadia Nina Noah Olga Omar Oscar
Paul Priya Rachel Ravi Rosa Samuel Sara Simon Sofia Tara Theo Tom Vera Victor Wei
Yara Yusuf Zoe""".split()
)

SURNAMES = tuple(
    """Adams Baker Becker Brown Carter Clark Cooper Costa Davis Dubois Evans Fischer
Garcia Green Hansen Hughes Ito Jensen Jones Kaur Keller Khan Kowalski Larsen Lee
Lopez Martin Meyer Miller Moreau Murphy Nguyen Novak Okafor Olsen Park Patel Perez
Quinn Reed Rossi Schmidt Silva Singh Smith Tanaka Taylor Turner Walker Watson Weber
Wilson Wright Young Zhang""".split()
)

PLACES = tuple(
    """Amsterdam Athens Atlanta Austin Bangkok Berlin Bern Boston Brazil Bristol Cairo
Canada Chicago Chile China Dallas Delhi Denver Dublin Egypt Europe Finland Florida
Geneva Ghana Greece India Iowa Italy Japan Kenya Kyoto Lagos Lima Lisbon London Lyon
Madrid Maine Malta Milan Munich Nairobi Nepal Norway Ohio Oslo Paris Peru Poland
Porto Prague Quebec Rome Seattle Seoul Spain Sweden Sydney Texas Tokyo Toronto
Turkey Utah Vienna Warsaw Zurich""".split()
)

THINGS = tuple(
    """Apple Audit Bank Battery Bike Blood Board Bolt Bonus Book Bread Budget Bus Cable
Camera Candy Car Card Cash Chair Cheese Clinic Coffee Contract Copper Cotton Credit
Dairy Debit Delivery Design Desk Diesel Digital Dinner Doctor Door Drama Electric
Email Energy Engine Equipment Expense Export Fabric Farm Fashion Finance Fish Flight
Food Fruit Fuel Furniture Garden Gas Glass Gold Grain Guest Hardware Health History
Hotel House Import Income Insurance Invoice Iron Jacket Juice Kitchen Labor Lamp
Laptop Laser Leather Lease License Loan Lunch Machine Marketing Math Meat Medical
Metal Milk Mobile Motor Movie Music Network Night Office Oil Online Orange Order
Paint Paper Parking Patient Payment Payroll Pencil Phone Physics Plant Plastic
Policy Pump Radio Rail Rent Repair Retail Rice Road Salad Salary Salt Sample School
Science Sensor Server Service Shirt Shoes Silver Soap Software Solar Spare Sports
Spring Steel Stock Student Sugar Summer Supplier Support Tax Tea Team Tool Tour
Toys Track Trade Training Transfer Travel Truck Vehicle Vendor Visa Wage Warehouse
Warranty Water Weekend Window Winter Wood Wool Yard""".split()
)

QUALITIES = tuple(
    """Annual Basic Big Black Blue Brown Central Cold Current Direct Domestic Double
East
External Extra Fast First Fixed Foreign Free General Global Green Heavy Hot Internal
Junior Large Last Light Local Long Main Mixed National Net North Old Other Partial
Premium Private Public Quick Raw Red Regular Rural Second Senior Short Single Small
Soft South Special Standard Total Upper Urban West White""".split()
)

KNOWN = STATUSES + FIRST_NAMES + SURNAMES + PLACES + THINGS + QUALITIES

GRADES = tuple("A B C D E F S A+ A- B+ B- C+ C- D+ D- AA AAA BB BBB CCC".split())
MARKS = tuple("* + - # ? ! & @ / ++ -- $ X ok n/a".split())
LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")

ONSETS = tuple("b c d f g h j k l m n p r s t v w z br cl dr fl gr kr pl st tr".split())
VOWELS = tuple("a e i o u a e i o u ai ea ou".split())
CODAS = ("", "", "", "", "n", "r", "l", "s", "t", "m", "x", "rt", "nd")

NUMBER_COLUMNS = _listed(
    """Sales|Price|Amount|Quantity|Score|Age|Revenue|Profit|Units Sold|Hours|Total|Cost|
Temperature|Height|Weight|Budget|Salary|Marks|Stock|Balance|Rate|Distance|Points|
Population|Income|Growth|Total Cost|Unit Price|Net Income|Exam Score|Rainfall|Visits|
Tax|Discount|Views|Rating|Duration|Capacity|Fee|Pay|Value|Count|Deaths|Enrollment|
Closing Balance|Attendance|Credit|Debit|Variance|Speed"""
)

TEXT_COLUMNS = _listed(
    """Status|Name|City|Region|Category|Grade|Department|Product|Type|Result|Comments|
Owner|Country|Group|Gender|Priority|Subject|Supplier|Item|Team|Level|Class|Shift|
Color|Stage|Size|State|Brand|Reason|Action|Payment Status|Product Name|Customer|
Project|Role|Notes|Outcome|Delivery|Account|Answer|Code|Division|Organization|Genre|
Title|Job Title|Risk Level|Segment|Material|Task"""
)

LABEL_COLUMNS = ("Index", "Id", "No.", "Row", "Line")

SHEETS = _listed(
    """Sheet1|Sheet2|Sheet3|Summary|Data|Budget|Sales 2019|Sales 2021|Report|Inventory|
Q1|Q2 2020|Overview|Table 1|Table 2|Orders|Timesheet|Jan|March 2018|Costs|Staff List|
Export|Results|FY20|Accounts|North|South|Plan|Forecast 2022|Raw Data|List"""
)

COLOURS = _listed(
    """red|green|yellow|blue|orange|purple|pink|light green|light red|dark blue|grey|
light blue|bright yellow|dark green"""
)

ERRORS = ("#N/A", "#DIV/0!", "#REF!", "#VALUE!", "#NAME?")
